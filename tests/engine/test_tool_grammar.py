"""Calls are held to the template's syntax and their tools' schemas; text before them is free."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.engine import tool_grammar
from triroute.engine.budget import Budget, Reach
from triroute.engine.chat import Tool
from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.grammar import Constraint
from triroute.engine.segments import Segmenter
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.tokenizer import Tokenizer, byte_alphabet
from triroute.engine.tool_grammar import Calls, compile_calls
from triroute.engine.types import BrokenCall, CallEvent, WrittenCall

TOKENIZER = tiny_tokenizer()
CITY = '{"properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}'
TOOLS = (Tool("weather", "", CITY), Tool("now", "", ""))
WEATHER = '{"name": "weather", "arguments": {"city": "Oslo"}}'
NOW = '{"name": "now", "arguments": {}}'
OTHER = '{"name": "other", "arguments": {}}'
LLAMA = '{"type": "function", "name": "now", "parameters": {}}'
PIECES = [
    *(
        f"<tool_call>[{NOW}]</tool_call>",
        f"<tool_call>[{WEATHER[:30]}",
        "[TOOL_CALLS]now[ARGS]{}",
        f"<|python_tag|>{LLAMA}",
    ),
    *("<function=now>{}</function>", "<think>", "</think>", "```\n", "\n", "`", "<tool_call", "so it is ", "é", NOW),
]


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
        (f"<tool_call>\n{WEATHER}\n</tool_call> so <tool_call>{NOW}</tool_call>", True),
        (f"<tool_call>\n{OTHER}\n</tool_call>", False),
        (f"[TOOL_CALLS] [{WEATHER}, {NOW}] so", True),
        (f"[TOOL_CALLS][{OTHER}]", False),
        ('[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]now[ARGS]{} so', True),
        ("[TOOL_CALLS]weather[ARGS]{}", False),
        ('<function=weather>{"city": "Oslo"}</function> so', True),
        ('<tool_call>\n<function=weather>{"city": "Oslo"}</function>\n</tool_call>', True),
        ("<function=weather>{}</function>", False),
        ("<function=other>{}</function>", False),
        ("<function=weather>\n<parameter=city>\n</x>\n</parameter>\n</function> so", True),
        ("<function=other><parameter=city>Oslo</parameter></function>", False),
        (f"<|python_tag|>{LLAMA}; {LLAMA} so", True),
        (f"<|python_tag|>{LLAMA}; {LLAMA.replace('now', 'other')}", False),
        ("<|python_tag|>import os", False),
        (f"{OTHER} is no call of a tool, and checked at the end", True),
        ("<think>I could write <tool_call> now</think> So.", True),
        (f"<think>or <tool_call></think><tool_call>[{NOW}]</tool_call>", True),
        ("<think></think><tool_call>no", False),
        ("Write `<tool_call>` or `[TOOL_CALLS]`.", True),
        ("```\n<tool_call>no\n```\nSo.", True),
        ("```\n```\n<tool_call>no", False),
        ("a <", True),
        ("[TOOL_CALLS", True),
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


def test_a_strict_tool_is_strict_in_every_format_that_opens() -> None:
    tagged = "<function=weather><parameter=city>Oslo</parameter></function>"
    for strict in (False, True):
        tools = (Tool("weather", "", CITY, strict=strict),)
        constraint = compile_calls(tools, Calls.FREE, TOKENIZER)
        assert constraint.unenforced == (("strict, in calls without an opening",) if strict else ())
        assert _takes(constraint, tagged) is not strict
        assert not compile_calls(tools, Calls.MUST, TOKENIZER).unenforced


def test_code_is_a_call_where_it_can_be_run() -> None:
    for strict in (False, True):
        tools = (*TOOLS, Tool("code_interpreter", "", "", strict=strict))
        assert _takes(compile_calls(tools, Calls.FREE, TOKENIZER), "<|python_tag|>import os") is not strict


def test_a_call_leaves_little_choice_and_text_all() -> None:
    constraint = compile_calls(TOOLS, Calls.FREE, TOKENIZER)
    for written, forced in (
        ("So <tool_call", ""),
        (">[{", '"name": "'),
        ("w", 'eather", "arguments": {"city": "'),
        ('Oslo"', "}}"),
    ):
        for token in TOKENIZER.encode(written):
            assert not constraint.take_forced(100)
            constraint.advance(token)
        run = constraint.take_forced(100)
        assert b"".join(map(TOKENIZER.token_bytes, run)).decode() == forced
    constraint.advance(*TOKENIZER.encode("]"))
    assert constraint.take_forced(5) == tuple(TOKENIZER.encode("</too"))
    assert constraint.take_forced(100) == tuple(TOKENIZER.encode("l_call>"))
    assert not constraint.take_forced(100)
    constraint.advance(min(TOKENIZER.end_ids))
    constraint.back(13)
    assert constraint.take_forced(100) == tuple(TOKENIZER.encode("</tool_call>"))


def test_the_prompt_may_leave_something_open() -> None:
    prompt = TOKENIZER.encode("assistant\n<think>\n")
    for text, holds in (("<tool_call>no", True), ("</think><tool_call>no", False)):
        assert _takes(compile_calls(TOOLS, Calls.FREE, TOKENIZER, prompt), text) is holds


def test_no_opening_after_the_one_call() -> None:
    one = compile_calls(TOOLS, Calls.FREE, TOKENIZER, parallel=False)
    assert not _takes(one, f"<tool_call>[{NOW}]</tool_call> <tool_call>")
    one = compile_calls(TOOLS, Calls.FREE, TOKENIZER, parallel=False)
    assert _takes(one, f"<tool_call>[{NOW}]</tool_call> `<tool_call>`")


def test_a_token_that_completes_an_opening_must_begin_a_call() -> None:
    names = [*byte_alphabet(), ">[", ">x", ">\u010a{", "[TOOL_CALLS]", "<|im_end|>"]
    tokenizer = Tokenizer(names, {259, 260}, [], "gpt-2", {260})
    constraint = compile_calls(TOOLS, Calls.FREE, tokenizer)
    assert [constraint.accepts(token) for token in (256, 257, 258, 259, 260)] == [True] * 5
    for token in tokenizer.encode("<tool_call"):
        constraint.advance(token)
    assert [constraint.accepts(token) for token in (256, 257, 258, 259, 260)] == [True, False, True, True, True]
    with pytest.raises(EngineError, match="opened a tool call"):
        constraint.advance(257)
    constraint.advance(258)
    assert b"".join(map(tokenizer.token_bytes, constraint.take_forced(9))) == b'"name": "'
    other = compile_calls(TOOLS, Calls.FREE, tokenizer)
    other.advance(259)
    assert not other.accepts(names.index("x"))


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_what_is_given_back_is_as_never_taken(pieces: list[str], chance: random.Random) -> None:
    """Drafts come and go, across the borders of calls; the same tokens are allowed then as ever."""
    straight = compile_calls(TOOLS, Calls.FREE, TOKENIZER)
    winding = compile_calls(TOOLS, Calls.FREE, TOKENIZER)
    tokens: list[int] = []
    for token in TOKENIZER.encode("".join(pieces)):
        if straight.accepts(token):
            straight.advance(token)
            tokens.append(token)
    at = 0
    while at < len(tokens):
        ahead = min(chance.randint(1, 40), len(tokens) - at)
        for token in tokens[at : at + ahead]:
            winding.advance(token)
        at += ahead
        back = chance.randint(0, at) if chance.random() < 0.3 and at < len(tokens) else 0
        winding.back(back)
        at -= back
        assert winding.copy().allowed().tobytes() == winding.allowed().tobytes()
    assert winding.allowed().tobytes() == straight.allowed().tobytes()


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_may_end_can_be_read(pieces: list[str]) -> None:
    """The grammar and the reader of calls agree on what is one."""
    constraint = compile_calls(TOOLS, Calls.FREE, TOKENIZER)
    segmenter = Segmenter(TOKENIZER, (), may_call=True)
    events: list[CallEvent] = []
    for token in TOKENIZER.encode("".join(pieces)):
        if constraint.accepts(token):
            constraint.advance(token)
            events += segmenter.push(token)
    if constraint.accepts(min(TOKENIZER.end_ids)):
        events += segmenter.end()
        assert not [event for event in events if isinstance(event, BrokenCall)]
        assert {event.name for event in events if isinstance(event, WrittenCall)} <= {"weather", "now"}


def test_a_set_of_tools_is_compiled_once() -> None:
    """Refusals are remembered, too."""
    tools = tuple(Tool(f"t{number}", "", CITY) for number in range(80))
    strict = (*TOOLS, Tool("odd", "", json.dumps({"not": {}}), strict=True))
    before = tool_grammar._compile.cache_info()
    for _ in range(3):
        compile_calls(tools, Calls.FREE, TOKENIZER)
        with pytest.raises(InvalidRequest, match=r"tools\[2\]"):
            compile_calls(strict, Calls.FREE, TOKENIZER)
    after = tool_grammar._compile.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (2, 4)


def test_tools_are_looked_for_within_the_budget() -> None:
    """Which tool is to blame is not looked for when there is no time left; the set's refusal is told then."""
    tools = (*TOOLS, Tool("bad", "", '{"properties": {"b": {"type": "string", "pattern": "(?=c)b"}}}'))
    with pytest.raises(InvalidRequest, match=r"tools: can't be compiled"):
        Budget(1e-6).within(Reach.ANY, compile_calls, tools, Calls.MUST, TOKENIZER)


def test_strict_tools_are_looked_at_within_the_budget() -> None:
    odd = Tool("odd", "", json.dumps({"properties": {"late": {"not": {}}}}), strict=True)
    with pytest.raises(InvalidRequest, match=r"tools\[2\].parameters_json: .*more than 3 s in all; ask for fewer"):
        Budget(1e-6).within(Reach.ANY, compile_calls, (*TOOLS, odd), Calls.MUST, TOKENIZER)
