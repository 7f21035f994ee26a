"""What is counted follows from the records; bad input is told where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.bench.acceptance.measure import Setup, Tally, measure
from triroute.bench.acceptance.plot import write_plot
from triroute.bench.acceptance.run import Asked, run
from triroute.engine.engine import Engine
from triroute.engine.training.prompts import Prompt
from triroute.engine.types import DraftSource, PassKind, PassRecord


def _verify(accepted: int, checked: int) -> PassRecord:
    committed = tuple(range(accepted + 1))
    return PassRecord(
        0,
        PassKind.VERIFY,
        4,
        0,
        1,
        1,
        accepted=accepted,
        sources=(DraftSource.DIFFUSION,) * checked,
        committed=committed,
    )


def test_counts() -> None:
    tally = Tally()
    draft = PassRecord(0, PassKind.DRAFT, 4, 0, 1, 1, committed=(1,))
    tally.add([PassRecord(0, PassKind.PREFILL, 9, 0, 1, 1), draft, _verify(2, 3), draft, _verify(0, 3)])
    assert (tally.tokens, tally.passes, tally.cycles) == (6, 4, 2)
    assert tally.accepted_per_cycle == 1.0
    assert tally.by_slot == [0.5, 0.5, 0.0]
    assert tally.speed_of_light == pytest.approx(2 / 1.5)


def test_joins_different_widths() -> None:
    one, other = Tally(), Tally()
    one.add([_verify(1, 1)])
    other.add([_verify(1, 2)])
    one.join(other)
    assert (one.by_slot, one.accepted_per_cycle) == ([1.0, 0.0], 1.0)


def test_measures_and_draws(tiny_engine: Engine, tmp_path: Path) -> None:
    prompts = [Prompt("plan", raw="Plan a picnic"), Prompt("code", raw="def f(")]
    tallies = {setup: measure(tiny_engine, prompts, setup, 12) for setup in (Setup("plan"), Setup("code"))}
    assert all(tally.passes > 0 and tally.tokens > 0 for tally in tallies.values())
    write_plot(tmp_path / "plot.png", tallies)
    assert (tmp_path / "plot.png").stat().st_size > 5_000


def test_bad_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"workload": "plan", "user": "a"}\n{"workload": "nap", "user": "b"}\n')
    with pytest.raises(ValueError, match=r"prompts.jsonl:2: workload is 'nap'"):
        run(Asked(prompts=path), None, None)
