"""Drift is seen where confidence is not honest, and hardly ever where it is."""

from __future__ import annotations

import random

from triroute.router.classifier.drift import ALARM, Drift


def _run(honesty: float, steps: int, seed: int) -> int | None:
    """Steps until the alarm for a classifier whose share of hits is `honesty` times its confidence."""
    dice, drift = random.Random(seed), Drift()
    for step in range(steps):
        confidence = dice.uniform(0.5, 1)
        if drift.add("crewai", confidence, dice.random() < confidence * honesty):
            return step
    return None


def test_honest_confidence_raises_no_alarm() -> None:
    """An alarm in ALARM steps or more on average: in a hundredth of them, at most one run in a hundred has one."""
    assert sum(_run(1.0, int(ALARM / 100), seed) is not None for seed in range(40)) <= 2


def test_overconfidence_is_found_soon() -> None:
    found = [_run(0.6, 400, seed) for seed in range(20)]
    assert all(steps is not None and steps < 300 for steps in found)


def test_frameworks_are_apart_and_calm_down() -> None:
    drift = Drift()
    while not drift.add("crewai", 0.9, False):
        pass
    assert drift.drifting == {"crewai": True}
    drift.add("other", 0.9, True)
    assert drift.drifting == {"crewai": True, "other": False}
    while not drift.add("crewai", 0.9, True):
        pass
    assert drift.drifting["crewai"] is False
