"""Training: no session on both sides, a framework unseen, the same weights from the same steps."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from triroute.router.classifier.model import KINDS, Model, shipped
from triroute.router.classifier.score import Scored, macro_f1
from triroute.router.classifier.training import steps
from triroute.router.classifier.training.bootstrap import interval
from triroute.router.classifier.training.chats import Example
from triroute.router.classifier.training.figures import agreement
from triroute.router.classifier.training.fit import HELD_OUT, LATER, split
from triroute.router.classifier.training.steps import Row
from triroute.router.classifier.training.train import train
from triroute.router.cli.app import app
from triroute.router.errors import InvalidRequest
from triroute.router.types import Message, Request, Role, StepKind


def _rows(count: int = 800) -> list[Row]:
    """Steps whose kind a word tells nine times in ten."""
    dice = random.Random(1)
    made = []
    for number in range(count):
        label = dice.choice(KINDS)
        said = label if dice.random() < 0.9 else dice.choice(KINDS)
        seen = (f"ask {said.value}", f"ask w{dice.randrange(9)}", "fact last user, may call")
        framework = HELD_OUT[0] if number % 7 == 0 else "crewai"
        session = f"{dice.randrange(16**8):08x}"
        made.append(Row("made", framework, session, label, StepKind.PROSE, StepKind.UNKNOWN, seen))
    return made


def test_splits_share_nothing() -> None:
    rows = steps.read()
    parts = split(rows)
    sets = [{row.session for row in part} for part in (parts.train, parts.tune, parts.test)]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]
    assert {row.framework for row in parts.held_out} == {*HELD_OUT}
    assert {row.framework for row in parts.later} == {*LATER}
    assert not {*HELD_OUT, *LATER} & {row.framework for part in (parts.train, parts.tune, parts.test) for row in part}
    assert sum(map(len, (parts.train, parts.tune, parts.test, parts.held_out, parts.later))) == len(rows)


def test_command(tmp_path: Path) -> None:
    kept, out, figures = tmp_path / "s.jsonl.gz", tmp_path / "w.json", tmp_path / "f.json"
    steps.write(_rows(), kept)
    command = ["train-classifier", "--steps", str(kept), "--out", str(out), "--figures", str(figures)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    told = json.loads(figures.read_text())
    for part in (told["unseen_sessions"], told["held_out_frameworks"]):
        assert part["macro_f1"] > 0.8 > part["baselines"]["rules"]
    first = out.read_text()
    assert CliRunner().invoke(app, command).exit_code == 0
    assert out.read_text() == first
    assert Model.parse(first).revision == told["revision"]


def test_meaning_is_learned_where_words_tell_nothing() -> None:
    dice = np.random.default_rng(1)
    means = dice.normal(size=(len(KINDS), 8))
    rows = [
        replace(
            row,
            features=("ask same",),
            meaning=(means[KINDS.index(row.label)] + 0.2 * dice.normal(size=8)).astype(np.float32),
        )
        for row in _rows()
    ]
    text, told = train(rows, encoder="5" * 64)
    by = Model.parse(text)
    assert (by.encoder, by.meaning is not None and by.meaning.shape) == ("5" * 64, (8, len(KINDS)))
    assert told["unseen_sessions"]["macro_f1"] > 0.95
    bare = [replace(row, meaning=None) for row in rows]
    assert train(bare)[1]["unseen_sessions"]["macro_f1"] < 0.5


def test_a_file_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "s.jsonl.gz"
    bad.write_bytes(b"no gzip")
    done = CliRunner().invoke(app, ["train-classifier", "--steps", str(bad), "--out", str(tmp_path / "w.json")])
    assert isinstance(done.exception, InvalidRequest)
    assert str(bad) in done.exception.message


def test_rows_come_back(tmp_path: Path) -> None:
    rows = _rows(90)
    steps.write(rows, tmp_path / "s.jsonl.gz")
    back = steps.read(tmp_path / "s.jsonl.gz")
    assert [(row.session, row.label) for row in back] == [(row.session, row.label) for row in rows]
    assert all({*one.features} <= {*other.features} for one, other in zip(back, rows, strict=True))


def test_thin_takes_from_every_session() -> None:
    rows = _rows(50)
    assert len(steps.thin(rows, 10)) == 10
    many = [replace(rows[0], features=(f"ask w{number}",)) for number in range(40)]
    assert len({row.session for row in steps.thin([*rows, *many], 50)}) == 50


def test_an_answer_counts_once() -> None:
    asked = Request((Message(Role.USER, "Hello"),))
    said = [Example(asked, StepKind.PROSE, "made", "crewai", "s", text) for text in ("Hi", "Hi", "Good day")]
    assert [one.said for one in steps.unrepeated(said)] == ["Hi", "Good day"]


def test_interval_holds_what_was_measured() -> None:
    dice = random.Random(2)
    told = [Scored(dice.choice(KINDS), 0.9, dice.choice(KINDS)) for _ in range(400)]
    low, high = interval(told, [str(number // 4) for number in range(400)])
    assert low < macro_f1(told) < high
    assert high - low < 0.2


def test_agreement_is_of_answers_to_one_request() -> None:
    row = replace(_rows(1)[0], label=StepKind.PLAN)
    rows = [*[row] * 15, *[replace(row, label=StepKind.PROSE)] * 5]
    told = agreement(rows)["made"]
    assert told["pairs"] == 20 * 19
    assert told["by_kind"]["plan"] == round(14 / 19, 4)


def test_committed_figures_are_of_what_ships() -> None:
    """Better than rules on unseen sessions, and on each held-out framework."""
    told = json.loads((Path(__file__).parents[4] / "bench" / "results" / "classifier.json").read_text())["figures"]
    assert told["revision"] == shipped().revision
    assert {*told["held_out_frameworks"]["each"]} == {*HELD_OUT}
    for part in (told["unseen_sessions"], told["held_out_frameworks"], *told["held_out_frameworks"]["each"].values()):
        assert part["macro_f1"] > part["baselines"]["rules"]
