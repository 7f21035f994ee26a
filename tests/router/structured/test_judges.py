"""What takes any time is looked at elsewhere, within a bound, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from triroute.router.schemas import Schema
from triroute.router.structured import judge
from triroute.router.structured.judges import Judges
from triroute.router.structured.schema import Unjudged

MOST = 0.3
INTEGER = '{"type": "integer"}'


def endless(start: str = "a") -> str:
    """Two to the power of 40 ways lead to the end of its references."""
    steps = {f"{start}{n}": {"allOf": [{"$ref": f"#/$defs/{start}{n + 1}"}] * 2} for n in range(40)}
    return json.dumps({"$defs": {**steps, f"{start}40": {}}, "not": {"not": {"$ref": f"#/$defs/{start}0"}}})


def pids() -> set[int]:
    """This process's judges."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {int(child) for child in children if judge.__name__ in Path(f"/proc/{child}/cmdline").read_text()}


DEEP = "(" * 1_500 + "a" + ")" * 1_500
LARGE = "(?:" * 60 + "a{1000}" + "){1000}" * 60
UNREAD = "a regular expression that is too large, or nested too deep, to be read"


@pytest.fixture
async def judges() -> AsyncIterator[Judges]:
    async with Judges(quick_seconds=0.05, most_seconds=MOST) as started:
        yield started
    assert not pids()


async def test_several_outputs_at_once(judges: Judges) -> None:
    verdict = await judges.judge(
        [("1", INTEGER), ('{"a": "\\ud800"}', '{"properties": {"a": {"const": 1}}}'), ("1", '{"$ref": "#/a"}')]
    )
    assert verdict("1", INTEGER) is None
    wrong = verdict('{"a": "\\ud800"}', '{"properties": {"a": {"const": 1}}}')
    assert wrong is not None
    assert (wrong.keys, wrong.problem, wrong.broken) == (("a",), "const: 1 was expected", False)
    with pytest.raises(Unjudged, match="can't be followed"):
        verdict("1", '{"$ref": "#/a"}')


async def test_what_takes_too_long_is_not_judged(judges: Judges) -> None:
    verdict = await judges.judge([("1", INTEGER), ("1", endless()), ("2", INTEGER)])
    assert verdict("1", INTEGER) is None
    for text, schema in (("1", endless()), ("2", INTEGER)):  # they came as one
        with pytest.raises(Unjudged, match=f"takes longer than {MOST} s"):
            verdict(text, schema)
    assert len(pids()) == 2  # none had to be ended


async def test_a_schema_that_takes_too_long_is_refused(judges: Judges) -> None:
    wide = Schema(json.dumps({"properties": {f"property {number}": {"type": "integer"} for number in range(6_000)}}))
    told = await judges.look([Schema(INTEGER), wide])
    assert told[Schema(INTEGER)] is None
    assert told[wide] == f"takes longer than {MOST} s to look at; ask for less"


async def test_usual_questions_do_not_wait_for_endless_ones(judges: Judges) -> None:
    endless_ones = [asyncio.create_task(judges.judge([("1", endless(name))])) for name in "abcdef"]
    for number in range(20):
        await judges.judge([(str(number), INTEGER)])
    assert not all(one.done() for one in endless_ones)
    for one in endless_ones:
        one.cancel()
    await asyncio.gather(*endless_ones, return_exceptions=True)
    assert (await judges.judge([("1", INTEGER)]))("1", INTEGER) is None


async def test_who_leaves_takes_no_answer_along(judges: Judges) -> None:
    leaving = asyncio.create_task(judges.judge([("1", endless())]))
    await asyncio.sleep(0)
    leaving.cancel()
    verdict = await judges.judge([('"x"', INTEGER)])
    wrong = verdict('"x"', INTEGER)
    assert wrong is not None
    assert wrong.problem.startswith("type")


async def test_a_judge_that_dies_has_a_successor(judges: Judges) -> None:
    await judges.judge([("1", INTEGER)])
    (first,) = pids()
    os.kill(first, signal.SIGKILL)
    assert (await judges.judge([("1", INTEGER)]))("1", INTEGER) is None
    assert first not in pids()


async def test_problems_are_remembered_by_text(judges: Judges) -> None:
    schemas = [Schema(INTEGER), Schema(INTEGER, of_arguments=True), Schema('{"type": 3}')]
    told = await judges.look(schemas)
    for pid in pids():
        os.kill(pid, signal.SIGSTOP)
    assert await judges.look(schemas) == told
    assert told[schemas[0]] is None
    assert "arguments are an object" in (told[schemas[1]] or "")
    assert "not a valid JSON Schema" in (told[schemas[2]] or "")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ('{"maximum": 1e9999999999999999999}', "has a number of over 4300 digits"),
        (json.dumps({"pattern": DEEP}), f"has {UNREAD}"),
        (json.dumps({"pattern": LARGE}), f"has {UNREAD}"),
    ],
    ids=["number", "deep", "large"],
)
async def test_what_is_too_much_for_a_judge_is_told(schema: str, words: str) -> None:
    async with Judges(most_seconds=20) as judges:
        assert (await judges.look([Schema(INTEGER)]))[Schema(INTEGER)] is None
        before = pids()
        told = await judges.look([Schema(schema), Schema("{}")])
        assert list(told.values()) == [words, None]
        assert pids() >= before


@pytest.mark.parametrize(
    ("text", "schema", "words"),
    [
        ('{"n": 1e9999999999999999999}', "{}", "the output has a number of over 4300 digits"),
        (json.dumps(DEEP), '{"format": "regex"}', UNREAD),
        ('"a"', json.dumps({"pattern": DEEP}), UNREAD),
    ],
    ids=["number", "format", "pattern"],
)
async def test_outputs_that_are_too_much_for_a_judge_are_told(
    judges: Judges, text: str, schema: str, words: str
) -> None:
    verdict = await judges.judge([("1", INTEGER), (text, schema), ("2", INTEGER)])
    assert verdict("1", INTEGER) is None
    assert verdict("2", INTEGER) is None
    with pytest.raises(Unjudged, match=words):
        verdict(text, schema)


@pytest.mark.parametrize("question", ["schema", "output"])
def test_what_nobody_foresaw_has_a_name(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr(judge, "schema_problem", fails)
    monkeypatch.setattr(judge, "wrong_in", fails)
    (answer,) = judge._answers(1, [[question, "1", INTEGER]])
    assert answer["problem" if question == "schema" else "unjudged"] == "could not be judged: ArithmeticError"


async def test_a_judge_that_ends_is_no_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = (sys.executable, "-c", "import os; os.read(0, 1)")
    monkeypatch.setattr("triroute.router.structured.judges._COMMAND", ends)
    async with Judges() as judges:
        schema = Schema('{"type": "null"}')
        assert "process that looked at it ended" in ((await judges.look([schema]))[schema] or "")
        verdict = await judges.judge([("1", INTEGER)])
        with pytest.raises(Unjudged, match="process that looked at it ended"):
            verdict("1", INTEGER)
        monkeypatch.undo()
        assert (await judges.look([schema]))[schema] is None  # nothing of it is remembered


def test_a_judge_ends_when_nobody_is_left_to_ask() -> None:
    asked = judge.frame({"seconds": 0.1, "asked": [["output", "1", endless()]]})
    ended = subprocess.run([sys.executable, "-m", judge.__name__], input=asked, stdout=subprocess.PIPE, check=True)
    assert ended.stdout == judge.frame([])
