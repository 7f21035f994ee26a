"""The classifier on hand-written steps, none of which it was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from triroute.router.classifier import classify, model
from triroute.router.types import (
    FormatKind,
    Message,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    StepKind,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
)

STEPS = [json.loads(line) for line in Path(__file__).with_name("steps.jsonl").read_text().splitlines()]
LEAST_ACCURACY = 0.75  # far above chance; what is reached is in docs/classifier.md, and nothing is tuned for it


def _request(step: dict[str, Any]) -> Request:
    messages = [Message(Role.SYSTEM, step["system"])] if step["system"] else []
    messages.append(Message(Role.USER, step["user"]))
    if step.get("after_tool"):
        messages.append(Message(Role.ASSISTANT, "", (ToolCall("c1", "look", "{}"),)))
        messages.append(Message(Role.TOOL, '{"found": 3}', tool_call_id="c1"))
    tools = (Tool("look", "Looks things up."),) if step.get("tools") else ()
    choice = ToolChoiceKind(step.get("tool_choice", "auto" if tools else "none"))
    shape = ResponseFormat(FormatKind.JSON_SCHEMA, "{}") if step.get("schema") else ResponseFormat()
    stop = (step["stop"],) if "stop" in step else ()
    return Request(tuple(messages), "", tools, ToolChoice(choice), shape, Sampling(stop=stop))


def test_accuracy() -> None:
    misses = [(step["step"], classify(_request(step))) for step in STEPS]
    misses = [(wanted, found) for wanted, found in misses if found.kind != wanted]
    assert len(misses) <= (1 - LEAST_ACCURACY) * len(STEPS), misses


def test_evidence_is_named_and_strongest_first() -> None:
    step = classify(Request((Message(Role.USER, "Write a Python function. No explanation."),)))
    assert step.kind is StepKind.CODE
    assert any(seen.startswith("ask orders code (code +") for seen in step.evidence)
    weights = [float(seen.rsplit("+", 1)[1].rstrip(")")) for seen in step.evidence]
    assert weights == sorted(weights, reverse=True)
    assert step.revision == model().revision


def test_structure_is_certain() -> None:
    ask, tools = (Message(Role.USER, "Tell me a story."),), (Tool("look"),)
    named = classify(Request(ask, "", tools, ToolChoice(ToolChoiceKind.NAMED, "look")))
    required = classify(Request(ask, "", tools, ToolChoice(ToolChoiceKind.REQUIRED)))
    shaped = classify(Request(ask, response_format=ResponseFormat(FormatKind.JSON_SCHEMA, "{}")))
    for step in (named, required, shaped):
        assert (step.kind, step.confidence) == (StepKind.TOOL_CALL, 0.99)
    assert classify(Request(ask)).kind is StepKind.PROSE


def test_nothing_to_go_by() -> None:
    assert classify(Request(text="...")).kind is StepKind.UNKNOWN


def test_other_languages_ask_for_the_same() -> None:
    asked = {
        "code": ("Schreibe eine Funktion in Python.", "Escribe una función en Python.", "用Python写一个函数"),
        "prose": ("Erkläre mir die Gezeiten.", "Explique les marées.", "解释潮汐"),
    }
    for kind, asks in asked.items():
        for ask in asks:
            assert classify(Request((Message(Role.USER, ask),))).kind == kind, ask


def test_long_text_is_cut_and_said_so() -> None:
    step = classify(Request((Message(Role.USER, "Summarize this text. " + "all work and no play " * 50_000),)))
    assert step.cut > 1_000_000
    assert step.evidence[-1] == f"{step.cut} characters were not looked at"


def test_a_long_result_is_cut_and_said_so() -> None:
    result = Message(Role.TOOL, "a row of the table; " * 50_000, tool_call_id="c")
    step = classify(Request((Message(Role.USER, "Find it."), result)))
    assert step.cut > 999_000
    assert step.evidence[-1] == f"{step.cut} characters were not looked at"


@given(
    st.lists(st.tuples(st.sampled_from(list(Role)), st.text(max_size=300)), min_size=1, max_size=6),
    st.lists(st.text(max_size=30), max_size=3),
)
def test_any_conversation(turns: list[tuple[Role, str]], names: list[str]) -> None:
    tools = tuple(Tool(name, name) for name in names)
    choice = ToolChoice(ToolChoiceKind.AUTO if tools else ToolChoiceKind.NONE)
    step = classify(Request(tuple(Message(role, text) for role, text in turns), "", tools, choice))
    assert 0 <= step.confidence <= 1
    assert step == classify(Request(tuple(Message(role, text) for role, text in turns), "", tools, choice))
