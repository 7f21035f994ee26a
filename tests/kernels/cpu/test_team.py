"""Threads that meet see each other's work, at every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.team import Team, available_cores, meet


@compiled
def _pass_on(thread: int, threads: int, counter: Any, met: int, cells: Any, rounds: int) -> int:
    """Each round, every thread adds its left neighbour's last number to its own."""
    for step in range(rounds):
        cells[step + 1, thread] = cells[step, thread] + cells[step, (thread + threads - 1) % threads]
        met += threads
        meet(counter, met)
    return met


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_see_what_all_wrote(size: int) -> None:
    team, rounds = Team(size), 40
    expected = np.ones(size, dtype=np.int64)
    for _ in range(rounds):
        expected = expected + np.roll(expected, 1)
    for _ in range(20):
        cells = np.zeros((rounds + 1, size), dtype=np.int64)
        cells[0] = 1
        team.run(_pass_on, cells, rounds)
        assert np.array_equal(cells[-1], expected)
    team.close()


def test_cores() -> None:
    assert available_cores() >= 1
