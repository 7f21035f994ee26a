"""Predicted against observed: a confusion matrix, F1, and how honest the confidence is. Live and in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from triroute.router.types import StepKind

_BINS = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """A step: what it was taken for, how surely, and what it turned out to be."""

    predicted: StepKind
    confidence: float
    observed: StepKind


def confusion(steps: Sequence[Scored]) -> dict[str, dict[str, int]]:
    """Counts by what was observed, then by what had been predicted."""
    table: dict[str, dict[str, int]] = {}
    for (observed, predicted), count in sorted(Counter((s.observed.value, s.predicted.value) for s in steps).items()):
        table.setdefault(observed, {})[predicted] = count
    return table


def f1(steps: Sequence[Scored]) -> dict[str, float]:
    """For each kind that was observed: twice the hits over all that were, or were taken for, this kind."""
    hits = Counter(step.observed for step in steps if step.observed is step.predicted)
    observed = Counter(step.observed for step in steps)
    predicted = Counter(step.predicted for step in steps)
    return {kind.value: 2 * hits[kind] / (observed[kind] + predicted[kind]) for kind in sorted(observed)}


def macro_f1(steps: Sequence[Scored]) -> float:
    """The mean of `f1` over the kinds that were observed; 0 without any."""
    values = f1(steps).values()
    return sum(values) / len(values) if values else 0.0


def calibration_error(steps: Sequence[Scored]) -> float:
    """Expected calibration error over ten bins of confidence: how far confidence is from the share of hits, [0, 1].

    An `unknown` claims no kind, and is left out.
    """
    claimed = [step for step in steps if step.predicted is not StepKind.UNKNOWN]
    bins: dict[int, list[Scored]] = {}
    for step in claimed:
        bins.setdefault(min(int(step.confidence * _BINS), _BINS - 1), []).append(step)
    gaps = (abs(sum(s.confidence - (s.predicted is s.observed) for s in held)) for held in bins.values())
    return sum(gaps) / len(claimed) if claimed else 0.0
