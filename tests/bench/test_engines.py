"""Workers and what they run."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from triroute.bench import kinds, neighbours
from triroute.bench.engines.base import Heard, quantile, run, storm
from triroute.bench.engines.resident import present, resident
from triroute.bench.fleet import Worker
from triroute.bench.jobs import Job, Result
from triroute.bench.kinds import Kind, Unavailable, require
from triroute.bench.neighbours import Neighbours

GAP = 0.01


class Metronome:
    """An engine that gives a token every 10 ms."""

    def __init__(self) -> None:
        self.prompts: list[tuple[int, ...]] = []
        self.running = self.most = 0

    def start(self, job: Job, heard: Heard | None = None) -> Callable[[], Result]:
        self.prompts.append(job.ids)
        self.running += 1
        self.most = max(self.most, self.running)

        def work() -> None:
            for _ in range(job.tokens):
                time.sleep(GAP)
                if heard is not None:
                    heard(1)
            self.running -= 1

        thread = threading.Thread(target=work)
        thread.start()

        def wait() -> Result:
            thread.join()
            return Result(job.tokens, job.tokens, job.tokens, GAP, job.tokens - 1, GAP * (job.tokens - 1), 1000 * GAP)

        return wait

    def memory(self) -> dict[str, float]:
        return resident()


def test_a_batch_runs_at_once() -> None:
    engine = Metronome()
    batch = run(engine, [Job((1, 2), 10)] * 4)
    assert engine.most == 4
    assert batch.wall_s < 4 * 10 * GAP
    assert batch.results[0].rate == pytest.approx(1 / GAP)


def test_a_storm_keeps_fresh_prompts_in_flight() -> None:
    engine = Metronome()
    gaps = storm(engine, Job((1,), 30), Job(tuple(range(8)), 5), in_flight=3, seconds=60)
    assert engine.most == 4
    assert 25 <= gaps["tokens"] < 30
    assert gaps["served"] >= 1
    assert GAP * 900 < gaps["p50_ms"] <= gaps["p99_ms"]
    assert len(set(engine.prompts)) == len(engine.prompts)


def test_a_storm_ends_in_time_and_counts_the_gap_that_it_cut() -> None:
    gaps = storm(Metronome(), Job((1,), 30), Job(tuple(range(8)), 5), in_flight=3, seconds=GAP / 4)
    assert gaps["tokens"] <= 2
    assert 0 < gaps["p99_ms"] <= 1000 * gaps["seconds"]


def test_quantiles() -> None:
    numbers = list(range(1, 101))
    assert (quantile(numbers, 0.5), quantile(numbers, 0.99), quantile([7], 0.99)) == (51, 100, 7)


def test_untouched_pages_are_not_present() -> None:
    array = np.frombuffer(mmap.mmap(-1, 2**26), np.uint8)  # the system's own pages: an allocator may hand out used ones
    assert present(array) < 1
    array[: 2**22] = 1
    assert present(array) == pytest.approx(4, abs=2)  # a page may be a huge one
    assert 0 < resident()["now"] <= resident()["peak"]


def test_own_work_is_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two busy core seconds one and a half were our own; the rest is what others took of all cores."""
    busy, own, now = iter([10.0, 12.0]), iter([1.0, 2.5]), iter([100.0, 101.0])
    monkeypatch.setattr(neighbours, "_busy_s", lambda: next(busy))
    monkeypatch.setattr(neighbours, "_own_s", lambda: next(own))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    assert Neighbours().share() == pytest.approx(0.5 / (os.cpu_count() or 1))


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds._NEEDS, Kind.LLAMACPP, ("no_such_package",))
    with pytest.raises(Unavailable, match=r"no_such_package not installed; run `make setup`"):
        require(Kind.LLAMACPP)


def test_a_worker_that_cannot_load_says_why() -> None:
    with pytest.raises(Unavailable, match=r"triroute: can't load: /nowhere.gguf is not a file"):
        Worker(Kind.OURS, Path("/nowhere.gguf"), 1)
