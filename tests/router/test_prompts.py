"""What a line of `generate --prompts` says wrong is named: the line, the key, what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.router.errors import InvalidRequest
from triroute.router.prompts import read_lines


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"prompt": 5}', "f:1: prompt: expected text, found int"),
        ('{"prompt": "x", "tools": "y"}', "f:1: tools: expected a list, found str"),
        ('{"prompt": "x", "tools": ["y"]}', "f:1: tools: expected an object, found str"),
        ('{"prompt": "x", "tool_choice": 5}', "f:1: tool_choice: expected an object, found int"),
        ('{"prompt": "x", "draft_sources": [5]}', "f:1: draft_source: expected a word, found int"),
        ('{"prompt": "x", "max_tokens": -1}', "f:1: max_tokens field: Value out of range: -1"),
        ('{"messages": ["x"]}', "f:1: messages: expected an object, found str"),
        ('{"messages": [{"content": "x"}]}', "f:1: 'role' is missing"),
        ('{"messages": [{"role": "user", "tool_calls": ["f"]}]}', "f:1: tool_calls: expected an object, found str"),
        ('{"promt": "x"}', "f:1: unknown key 'promt'; did you mean 'prompt'?"),
        ("[]", "f:1: expected an object, found list"),
        ("\n", "f: holds no step; write one JSON object a line"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, error: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text(line)
    with pytest.raises(InvalidRequest) as raised:
        read_lines(Path("f"))
    assert raised.value.message == error
