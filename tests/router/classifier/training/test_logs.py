"""Logs of agents are read as the turns that they hold."""

from __future__ import annotations

import json

from triroute.router.classifier.training import logs
from triroute.router.classifier.training.chats import Example
from triroute.router.classifier.training.sources import Source

LINE = "-" * 80


def _source(name: str) -> Source:
    return Source(name, "a/b", "c", "MIT", "", name, name)


def _kinds(examples: list[Example]) -> list[tuple[int, str]]:
    return [(len(one.request.messages), one.label.value) for one in examples]


def test_openhands() -> None:
    asked = "\n\n----------\n\nYou code.\n\n----------\n\nSay hello.\n\n----------\n\n<execute>\nls\n</execute>"
    asked += "\n\n----------\n\nOBSERVATION:\na.py"
    files = [("t/prompt_001.log", asked.encode()), ("t/response_001.log", b"All is said.")]
    read = list(logs.openhands_log(_source("openhands"), files))
    assert _kinds(read) == [(4, "prose")]
    assert [m.role.value for m in read[0].request.messages] == ["system", "user", "assistant", "user"]


def test_autogen() -> None:
    said = [
        ("user_proxy", "How old is it?"),
        ("assistant", "```python\nprint(age)\n```"),
        ("user_proxy", "exitcode: 0"),
    ]
    said += [("assistant", "\x1b[32m***** Suggested tool call (c1): look *****\x1b[0m\nArguments:\n{}\n****")]
    said += [("user_proxy", "***** Response from calling tool (c1) *****\n41\n*****"), ("assistant", "It is 41.")]
    printed = "".join(f"\x1b[33m{name}\x1b[0m (to other):\n\n{text}\n\n{LINE}\n" for name, text in said)
    book = {"cells": [{"outputs": [{"text": [printed]}]}]}
    files = [("n.ipynb", json.dumps(book).encode()), ("a.py", b'DEFAULT_SYSTEM_MESSAGE = """You help."""')]
    read = list(logs.autogen(_source("autogen"), files))
    assert _kinds(read) == [(2, "code"), (4, "tool_call"), (6, "prose")]
    assert read[0].request.messages[0].content == "You help."


def test_aider() -> None:
    chat = "x\n# aider chat started at 1\n\n> model\n#### /add a.py\n> added\n#### print it\n\n"
    chat += "```python\nprint(a)\n```\n> Applied\n#### thanks\n\nGladly."
    files = [("h.md", chat.encode()), ("p.py", b'main_system = """Act as an expert."""')]
    read = list(logs.aider(_source("aider"), files))
    assert _kinds(read) == [(2, "code"), (4, "prose")]


def test_plans() -> None:
    one = {"golden_plan": "['You start.', 'You go.']", "prompt_0shot": "Plan it.", "prompt_5shot": "Plan it too."}
    read = list(logs.natural_plan(_source("natural-plan"), [("d.json", json.dumps({"a": one}).encode())]))
    assert [(step.said, step.label) for step in read] == [("You start.\nYou go.", "prose")] * 2
    listed = ["Task: wash\nStep 1: Find soap", "Task: cook\nStep 1: Find pot\nStep 2: Open tap\nStep 3: Fill pot"]
    read = list(logs.scripts(_source("language-planner"), [("e.json", json.dumps(listed).encode())]))
    assert [(step.request.text, step.label) for step in read] == [
        ("Task: wash\nStep 1: Find soap\n\nTask: cook\n", "plan")
    ]


def test_tora() -> None:
    told = {"idx": 1, "question": "How many?", "code": ["```python\nprint(4)\n```\n```output\n4\n```\nFour."]}
    files = [("p.md", b"Solve it."), ("o.jsonl", json.dumps(told).encode())]
    read = list(logs.tora(_source("tora"), files))
    assert [(step.said, step.label) for step in read] == [("```python\nprint(4)\n```", "code"), ("Four.", "prose")]
    assert read[1].request.text.endswith("```output\n4\n```\n")
