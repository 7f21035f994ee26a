"""What is looked at is bounded, however long a history is."""

from __future__ import annotations

import sys

from triroute.router.classifier.sight import REACH, WINDOW, see
from triroute.router.types import Message, Request, Role, Tool, ToolCall, ToolChoice, ToolChoiceKind


def _history(rounds: int, size: int) -> Request:
    turns = [Message(Role.SYSTEM, f"You are a planner of {size}. " * size), Message(Role.USER, "Find the bug. " * size)]
    for number in range(rounds):
        turns.append(Message(Role.ASSISTANT, "", (ToolCall(f"c{number}", "read_file", "{}"),)))
        turns.append(Message(Role.TOOL, "Error: no such file " * size, tool_call_id=f"c{number}"))
    return Request(tuple(turns), "", (Tool("read_file", f"Reads a file of {size}."),), ToolChoice(ToolChoiceKind.AUTO))


def _steps(request: Request) -> int:
    """Lines of Python that looking at it runs."""
    count = 0

    def trace(*_: object) -> object:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        see(request)
    finally:
        sys.settrace(None)
    return count


def test_facts() -> None:
    facts = see(_history(2, 1)).facts
    assert "tool loop 2, last tool" in facts
    assert "result failed" in facts
    assert "result of read" in facts
    assert "before: tool_call, tool_call" in facts
    assert "system is a planner's" in facts
    assert "last tool, may call" in facts


def test_long_histories_cost_no_more() -> None:
    assert _steps(_history(40 * REACH, 10_000)) <= 1.1 * _steps(_history(REACH, 200))


def test_windows() -> None:
    request = Request((Message(Role.USER, "first " + "x " * WINDOW + " last"),))
    sight = see(request)
    assert sight.ask[0] == "first"
    assert sight.ask[-1] == "last"
    assert sight.cut == len(request.messages[0].content) - WINDOW


def test_words_of_the_ask_in_tools() -> None:
    tools = (Tool("get_weather", "Weather of a city."), Tool("send_email", "Sends an email."))
    facts = see(
        Request((Message(Role.USER, "What is the weather?"),), "", tools, ToolChoice(ToolChoiceKind.AUTO))
    ).facts
    assert "tool names asked for: 1" in facts
    assert "may call, ask has doing" in facts
