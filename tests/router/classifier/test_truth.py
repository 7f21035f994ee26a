"""What outputs turn out to be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.classifier.truth import LONGEST, observe

MOST_GROWTH = 9  # linear is 4, quadratic 16
CLOCK = 0.01  # seconds: what is quicker says nothing of growth
OUTPUTS = {
    "tool_call": (
        '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>',
        'I will look.\n[TOOL_CALLS][{"name": "look"}]',
        'Thought: I must look.\nAction: search\nAction Input: {"q": 1}',
        '{"city": "Paris", "country": "France"}',
        '[{"a": 1}]',
        '[CONTENT]\n{"Language": "en_us", "File list": ["main.py"]}\n[/CONTENT]',
        'Here are the details:\n\n{"title": "Mistborn", "author": "Brandon Sanderson", "pages": 544, "year": 2006}',
        '```json\n{"a": 1}\n```',
        '{"name": "look", "arguments": {"text": "cut short by a lim',
        '<think>Which tool?</think><tool_call>{"name": "a"}</tool_call>',
        "<function=look>{}</function>",
    ),
    "code": (
        "```python\nprint(1)\n```",
        "Here it is:\n\n```rust\nfn main() {}",
        "First I look around.\n```\nls -la\n```",
        "def add(a, b):\n    return a + b\n",
        "    if not numbers:\n        return None\n    return sum(numbers)",
        "#!/bin/bash\necho hello there\nwhatever\n",
        "Thought: count\n<code>\nprint(len(x))\n</code>",
        "SELECT name FROM users\nWHERE id = 3;",
        "<thought> I should count. </thought>\n<execute>\nprint(len(x))\n</execute>",
    ),
    "plan": (
        "1. Check the tables.\n2. Join them.\n3. Select the names.",
        "Here is a plan to reach the goal that you gave me, from where the blocks are now:\n\n1. (unstack c a)\n"
        "2. (put-down c)\n3. (stack c b)",
        "[PLAN]\npick up the red block\nstack the red block on top of the orange block\n[PLAN END]\n\nThis works.",
        "Here is the plan:\n\n```\n1. (unstack c a)\n2. (put-down c)\n```",
        "Here is the plan:\n\n- [ ] Pack the boxes\n- [ ] Rent a van\n- [ ] Clean the flat",
        "## Step 1: Prepare\nRead it.\n## Step 2: Do\nWrite it.\n## Step 3: Check\nTest it.",
        "unstack the red block\nput down the red block\npick up the blue block\nstack the blue block",
        "**Day 1**: Rome\n**Day 2**: Naples\n**Day 3**: Pompeii",
        "Steps:\n- Open the file\n- Read the line\n- Close the file",
    ),
    "prose": (
        "Here are some tips:\n\n1. Track your spending.\n2. Make a budget.\n3. Use cash where you can.",
        "Paris is the capital of France.",
        "1. France\n2. Italy\n3. Spain",
        "- It is cheap\n- It is fast\n- Add salt",
        "Thought: I now know.\nFinal Answer: 42",
        "Step 1: 2 = 1 + 1\nStep 2: 3 = 2 + 1\nStep 3: 4 = 3 + 1",
        "Use `print` to print.\nIt is a function of Python, which every introduction to the language has.",
        "Do you want me to go on? Please confirm:\n\nFlight HAT136, on 20 May.",
        "```\nThought: done\nFinal Answer: 42\n```",
        "done",
    ),
    "unknown": ("", "  \n", "<think>what was it"),
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in OUTPUTS.items() for text in texts])
def test_kinds(kind: str, text: str) -> None:
    assert observe(text) == kind


def test_parsed_calls_are_calls() -> None:
    assert observe("", called=True) == "tool_call"


def test_nesting_without_end_is_no_json() -> None:
    assert observe("[" * 2_000) == "prose"
    assert observe('{"a":' * 2_000) == "tool_call"  # as one that a limit cut


@given(st.text(alphabet=' \n`<>[]{}();=-*#.1a:"', max_size=400))
def test_any_output(text: str) -> None:
    assert observe(text) in {"plan", "tool_call", "code", "prose", "unknown"}


@pytest.mark.parametrize("piece", ["```", "<code>", "<think>", "; ", "1. ", "a(", "- add\n", '"""', "[{", "\n\n", "<"])
def test_hostile_outputs_take_no_longer(piece: str) -> None:
    assert grows_by("", piece, "") <= MOST_GROWTH


@pytest.mark.parametrize(
    ("before", "piece", "after"),
    [
        ("a```\n", " ", "x"),
        ("x", "\n", "x"),
        ("[a] {", " ", "x"),
        ("", "[PLAN]\n", ""),
        ("[PLAN]", "\n", "x"),
        ("", "<plan>\n", ""),
        ("Action: a", "\n", "x"),
        ("", "Action:\n", ""),
        ("```", "a", "\n"),
    ],
)
def test_blanks_and_marks_without_end_take_no_longer(before: str, piece: str, after: str) -> None:
    assert grows_by(before, piece, after) <= MOST_GROWTH


def grows_by(before: str, piece: str, after: str) -> float:
    """How many times longer four times the output takes: measured against itself, the least of three of each."""

    def spent(length: int) -> float:
        text, took = before + (piece * length)[: length - len(before + after)] + after, list[float]()
        for _ in range(3):
            start = time.thread_time()
            observe(text)
            took.append(time.thread_time() - start)
        return min(took)

    return (spent(LONGEST) - CLOCK) / spent(LONGEST // 4)
