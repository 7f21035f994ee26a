"""The protocol behind every measure, and what a measure's rounds come to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from triroute.bench.fleet import Fleet
from triroute.bench.kinds import Kind
from triroute.bench.machine import Machine
from triroute.bench.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Target:
    """What the median ratio should be: at least `bound`, or at most. One that is not `hard` fails no check."""

    bound: float
    at_least: bool
    hard: bool = True

    def met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    """For rates: more is better."""
    return Target(bound, at_least=True)


def at_most(bound: float, *, hard: bool = True) -> Target:
    """For times and sizes: less is better."""
    return Target(bound, at_least=False, hard=hard)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a round runs."""

    tokens: int = 128
    cases: int = 100  # of each list of prompts, as many as there are
    storm_seconds: float = 12.0
    long_prompt: int = 1000
    arrivals: int = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """One measure's turn in one round."""

    number: int
    fleet: Fleet
    prompts: Prompts
    scale: Scale

    def order(self, *kinds: Kind) -> tuple[Kind, ...]:
        """Who runs first changes from round to round, so that no engine always meets the warmer machine."""
        return kinds if self.number % 2 == 0 else kinds[::-1]


@dataclass(frozen=True, slots=True)
class Round:
    """Our figure and the peer's, in the measure's unit, and whatever else is worth keeping."""

    ours: float
    peer: float
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


class Measure(Protocol):
    """One figure of the suite. `about` is what is measured, `peer` what against, `unit` that of a round's figures."""

    @property
    def name(self) -> str: ...
    @property
    def about(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def kinds(self) -> tuple[Kind, ...]: ...
    @property
    def target(self) -> Target: ...

    def round(self, turn: Turn) -> Round:
        """Run all engines once. Raises Unavailable."""

    def note(self, rounds: Sequence[Round]) -> str:
        """What the ratio does not say, in one line; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measure after its rounds. `problem` says why there are none."""

    measure: Measure
    rounds: tuple[Round, ...]
    problem: str = ""

    @property
    def ratios(self) -> list[float]:
        return [each.ratio for each in self.rounds]

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.ratios)

    @property
    def ours(self) -> float:
        return statistics.median(each.ours for each in self.rounds)

    @property
    def peer(self) -> float:
        return statistics.median(each.peer for each in self.rounds)

    @property
    def met(self) -> bool:
        return bool(self.rounds) and self.measure.target.met(self.ratio)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run's figures were taken on. `others_share`: of all cores, what others used; known at the end."""

    machine: Machine
    model: str
    rounds: int
    others_share: float | None = None


def median_of(rounds: Sequence[Round], name: str) -> float:
    """The median of a detail that is a number."""
    return statistics.median(float(str(each.details[name])) for each in rounds)
