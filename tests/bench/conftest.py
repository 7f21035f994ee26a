"""Outcomes of measures that never ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from triroute.bench.kinds import Kind
from triroute.bench.machine import this_machine
from triroute.bench.measure import Outcome, Round, Setting, Target, Turn, at_least, at_most


@dataclass(frozen=True)
class Canned:
    """A measure with nothing behind it."""

    name: str
    target: Target
    about: str = "something"
    peer: str = "a peer"
    unit: str = "tok/s"
    kinds: tuple[Kind, ...] = (Kind.OURS,)

    def round(self, turn: Turn) -> Round:
        raise AssertionError("never run")

    def note(self, rounds: Sequence[Round]) -> str:
        return f"{len(rounds)} rounds"


@pytest.fixture
def outcomes() -> tuple[Outcome, ...]:
    def rounds(*ours: float) -> tuple[Round, ...]:
        return tuple(Round(each, 100.0, {"tokens": 8}) for each in ours)

    return (
        Outcome(Canned("fast", at_least(1.2)), rounds(150, 210, 190)),
        Outcome(Canned("large", at_most(3)), rounds(500, 577, 600)),
        Outcome(Canned("wish", at_most(1, hard=False)), rounds(130)),
        Outcome(Canned("with_a_name_of_20_or", at_most(0.02), unit="chars/s"), (Round(1, 13561), Round(1.6, 1204))),
        Outcome(Canned("absent", at_least(8)), (), "nothing is installed; install something"),
    )


@pytest.fixture
def setting() -> Setting:
    return Setting(this_machine(threads=2), "tiny.gguf", 3, 0.25)
