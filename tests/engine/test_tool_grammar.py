"""Calls are held to the template's syntax and their tools' schemas; text before them is free."""

from __future__ import annotations

import json

import pytest

from triroute.engine.chat import Tool
from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.grammar import Constraint
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.tool_grammar import Calls, compile_calls

TOKENIZER = tiny_tokenizer()
CITY = '{"properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}'
TOOLS = (Tool("weather", "", CITY), Tool("now", "", ""))
WEATHER = '{"name": "weather", "arguments": {"city": "Oslo"}}'
NOW = '{"name": "now", "arguments": {}}'


def _takes(constraint: Constraint, text: str) -> bool:
    """Whether the whole text can be the output."""
    try:
        for token in [*TOKENIZER.encode(text), min(TOKENIZER.end_ids)]:
            constraint.advance(token)
    except EngineError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"<tool_call>[{WEATHER}]</tool_call>", True),
        (f"<tool_call>[{WEATHER}, {NOW}]</tool_call>", True),
        ("<tool_call>[]</tool_call>", False),
        (f"I will. <tool_call>[{NOW}]</tool_call>", False),
        ('<tool_call>[{"name": "weather", "arguments": {"town": "Oslo"}}]</tool_call>', False),
        ('<tool_call>[{"name": "other", "arguments": {}}]</tool_call>', False),
        ("", False),
    ],
)
def test_must_call(text: str, *, holds: bool) -> None:
    assert _takes(compile_calls(TOOLS, Calls.MUST, TOKENIZER), text) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("No call, but <tool and {braces}.\n", True),
        ("", True),
        (f"I will.\n<tool_call>[{WEATHER}, {NOW}]</tool_call>", True),
        (f"<tool_call>[{WEATHER}]</tool_call> and <tool_call>[{NOW}]</tool_call> done", True),
        ("<tool_call>[]</tool_call>", True),
        ("<tool_call>", False),
        ("<tool_call>no", False),
        (f"<tool_call>[{WEATHER}", False),
    ],
)
def test_may_call(text: str, *, holds: bool) -> None:
    assert _takes(compile_calls(TOOLS, Calls.FREE, TOKENIZER), text) is holds


def test_one_call() -> None:
    for calls in Calls:
        one = compile_calls(TOOLS, calls, TOKENIZER, parallel=False)
        assert _takes(one, f"<tool_call>[{NOW}]</tool_call>")
        two = compile_calls(TOOLS, calls, TOKENIZER, parallel=False)
        assert not _takes(two, f"<tool_call>[{NOW}, {NOW}]</tool_call>")


def test_named() -> None:
    for text, holds in ((NOW, True), (WEATHER, False)):
        named = compile_calls(TOOLS, Calls.MUST, TOKENIZER, named="now")
        assert _takes(named, f"<tool_call>[{text}]</tool_call>") is holds


def test_what_is_not_enforced_is_named() -> None:
    odd = Tool("odd", "", json.dumps({"not": {"required": ["a"]}}))
    assert compile_calls((*TOOLS, odd), Calls.MUST, TOKENIZER).unenforced == ("not",)
    with pytest.raises(InvalidRequest, match=r"tools\[2\].parameters_json: has not, which a strict tool can't have"):
        compile_calls((*TOOLS, Tool("odd", "", odd.parameters, strict=True)), Calls.MUST, TOKENIZER)


def test_the_wrong_tool_is_named() -> None:
    bad = Tool("bad", "", '{"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}')
    with pytest.raises(InvalidRequest, match=r"tools\[1\].parameters_json: can't be compiled"):
        compile_calls((TOOLS[0], bad), Calls.FREE, TOKENIZER)
