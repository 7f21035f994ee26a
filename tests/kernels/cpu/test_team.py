"""Threads that meet see each other's work, at every size."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.team import Team, available_cores, meet, stand_by


@compiled
def _pass_on(thread: int, threads: int, board: Any, met: int, cells: Any, rounds: int) -> int:
    """Each round, every thread adds its left neighbour's last number to its own."""
    while True:
        for step in range(rounds):
            cells[step + 1, thread] = cells[step, thread] + cells[step, (thread + threads - 1) % threads]
            met += threads
            meet(board, met)
        if not stand_by(board, thread):
            return met


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_see_what_all_wrote(size: int) -> None:
    """Called again at once, while others wait, after they went away, and with other arguments."""
    team, rounds = Team(size), 40
    expected = np.ones(size, dtype=np.int64)
    for _ in range(rounds):
        expected = expected + np.roll(expected, 1)
    tables = [np.zeros((rounds + 1, size), dtype=np.int64) for _ in range(2)]
    for run in range(60):
        cells = tables[run // 5 % 2]
        cells[:] = 0
        cells[0] = 1
        team.run(_pass_on, cells, rounds)
        assert np.array_equal(cells[-1], expected)
        if run % 7 == 0:
            time.sleep(0.01)
    team.close()


def test_threads_end() -> None:
    before = threading.active_count()
    team = Team(3)
    cells = np.ones((5, 3), dtype=np.int64)
    team.run(_pass_on, cells, 4)
    assert threading.active_count() == before + 2
    team.close()
    team.close()
    assert threading.active_count() == before


def test_cores() -> None:
    assert available_cores() >= 1
