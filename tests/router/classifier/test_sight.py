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


def _asked(text: str) -> tuple[str, ...]:
    return see(Request((Message(Role.USER, text),))).facts


def test_fences_are_counted_in_all_of_an_ask() -> None:
    log = "```\n" + "a line of the log\n" * 50
    assert "ask has a fence" in _asked("See:\n" + log + "```\nWhat is wrong there, and why?")
    assert "ask ends inside a fence" in _asked("Go on:\n" + log + "```\n```python\ndef add(")
    assert "ask has a fence" in _asked("See:\n" + log * 30 + "```\nWhat is wrong there, and why?")  # too long to count
    assert "ask ends inside a fence" in _asked("Go on:\n" + log * 30 + "```\nNow:\n```python\ndef add(")


def test_what_came_of_a_call_is_told_with_the_loop() -> None:
    def after(result: str) -> tuple[str, ...]:
        turns = (Message(Role.USER, "Go."), Message(Role.ASSISTANT, "```python\nx = f(1)\n```"))
        return see(Request((*turns, Message(Role.USER, result)))).facts

    assert "loop of code, failed" in after("Output: Traceback (most recent call last)")
    assert "loop of code, short" in after("Output: 7")
    assert "loop of code, long" in after("Output: " + "7 " * 100)


def test_what_a_raw_prompt_goes_on_from() -> None:
    assert "goes on from code" in see(Request(text="```python\nimport os\nx = 1\n")).facts
    assert "goes on from output, short" in see(Request(text="```python\nprint(1)\n```\n```output\n1\n```\n")).facts
    assert "goes on from prose" in see(Request(text="It printed 1.\nSo it is one, as")).facts
