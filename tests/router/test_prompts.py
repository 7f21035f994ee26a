"""What a line of `generate --prompts` says wrong is named: the line, the key, what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.proto import chat_pb2
from triroute.router.errors import InvalidRequest
from triroute.router.prompts import build, read_lines


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"prompt": 5}', "f:1: prompt: expected text, found int"),
        ('{"prompt": "x", "tools": "y"}', "f:1: tools: expected a list, found str"),
        ('{"prompt": "x", "tools": ["y"]}', "f:1: tools: expected an object, found str"),
        (
            '{"prompt": "x", "tools": [{"name": "y", "strict": "yes"}]}',
            "f:1: strict field: Expected true or false without quotes at GenerateRequest.tools[0].strict",
        ),
        ('{"prompt": "x", "parallel_tool_calls": 1}', "f:1: parallel_tool_calls: expected true or false, found int"),
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


def test_tools_in_the_shape_of_openai() -> None:
    function = {"name": "find", "parameters": {"type": "object"}, "strict": True}
    asked = {"prompt": "x", "tools": [{"type": "function", "function": function}], "parallel_tool_calls": False}
    request = build(asked, "a step")
    assert request.tools[0].strict
    assert request.tool_choice.one_call
    assert request.tool_choice.kind == chat_pb2.ToolChoice.KIND_UNSPECIFIED
    named = {"type": "function", "function": {"name": "find"}}
    assert build({**asked, "tool_choice": named}, "a step").tool_choice == chat_pb2.ToolChoice(
        kind=chat_pb2.ToolChoice.KIND_NAMED, name="find", one_call=True
    )
    loose = build({"prompt": "x", "tools": [{"name": "find"}], "parallel_tool_calls": True}, "a step")
    assert not loose.tools[0].strict
    assert not loose.tool_choice.one_call
