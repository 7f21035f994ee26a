"""The classifier on steps as agent frameworks send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from triroute.router.classifier import classify
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
LEAST_ACCURACY = 0.9


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
    assert step.evidence[0] == "asks to write code (code +2.8)"
    weights = [float(seen.rsplit("+", 1)[1].rstrip(")")) for seen in step.evidence]
    assert weights == sorted(weights, reverse=True)


def test_nothing_to_go_by() -> None:
    assert classify(Request(text="...")).kind is StepKind.UNKNOWN


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text(system: str, user: str) -> None:
    step = classify(Request((Message(Role.SYSTEM, system), Message(Role.USER, user))))
    assert 0 <= step.confidence <= 1
