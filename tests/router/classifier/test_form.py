"""What a prompt says of the form of its answer."""

from __future__ import annotations

import time

import pytest

from triroute.router.classifier.form import demands, glance, heading, orders, shown, stops

FORM = "Your answer has two parts.\n\nOutline:\nthe outline\n\nStory:\nthe story\n"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("write a small python function", "code"),
        ("give me a checklist for the move", "plan"),
        ("your response should be bash code", "code"),
        ("each plan should be short", "plan"),
        ("first write a plan then write the program", "plan and code"),
        ("draft a letter", "text"),
        ("the function is slow", "nothing"),
        ("write whatever comes to your mind before you look at any other function", "nothing"),
    ],
)
def test_orders(text: str, fact: str) -> None:
    assert orders("ask", text.split()) == [f"ask orders {fact}"]


def test_examples_show_their_answers() -> None:
    asked = "Task: wash\nStep 1: Find soap\nStep 2: Open tap\n\nTask: sleep\n"
    assert shown(asked) == ["shown: plan"]
    assert shown("Question: how many?\nSQL: SELECT count(*)\nFROM a;\nQuestion: which?\nSQL:") == ["shown: code"]
    assert shown("Question: which?\nSQL:") == ["shown: nothing"]
    assert shown("Which one is it?") == []


def test_a_stop_leaves_the_part_before_it() -> None:
    assert stops(("\nStory:\n",), FORM) == ["stops after plan"]
    assert stops(("\nStory:\n",), "Tell me a story.") == []
    assert stops(("```", ""), FORM) == []


def test_heading() -> None:
    assert heading("What to do?\nPlan:") == ["ask ends with heading plan"]
    assert heading("Say what this is: a list") == []


def test_instructions_are_found_in_the_middle() -> None:
    text = "You may look around. " * 60 + "Your response should be code in <execute> tags. " + "Take care. " * 60
    assert "your response should be code" in demands(text)
    assert demands("Hello there") == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Let me see.\n<execute>\nls\n</execute>", "code"),
        ("x = 1\nprint(x)", "code"),
        ('{"a": 1}', "tool_call"),
        ("1. Open it\n2. Read it", "plan"),
        ("unstack the red block\nput down the red block", "plan"),
        ("It is a small town.", "prose"),
        ("", "prose"),
    ],
)
def test_glance(text: str, kind: str) -> None:
    assert glance(text) == kind


@pytest.mark.parametrize("piece", ["a:\n", "Plan:", "should be ", "[x]\n", "\n\n", " ", "write code "])
def test_long_texts_cost_no_more(piece: str) -> None:
    """A hundred times the text, about the time of a piece: measured against itself."""

    def spent(length: int) -> float:
        text = (piece * length)[:length]
        start = time.thread_time()
        for _ in range(50):
            shown(text)
            demands(text)
            glance(text)
            heading(text)
        return time.thread_time() - start

    assert spent(800_000) <= 20 * spent(8_000) + 0.05
