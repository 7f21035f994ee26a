"""The protocol behind every engine, and what can be done with any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, pairwise
from typing import Protocol

from triroute.bench.jobs import Batch, Job, Result, renewed

Heard = Callable[[int], None]
_ARRIVALS = count(10**7)  # far from the numbers that measures renew their own prompts with


class Engine(Protocol):
    """An engine that has loaded."""

    def start(self, job: Job, heard: Heard | None = None) -> Callable[[], Result]:
        """Begin a generation; what comes back waits for its end.

        `heard` is called with the number of tokens as they arrive; without it the engine need not stream.
        """

    def memory(self) -> dict[str, float]:
        """Resident memory in MiB: `now`, `peak`, and what the engine knows about its parts."""


def run(engine: Engine, jobs: Sequence[Job]) -> Batch:
    """All jobs at once, to the last one's end."""
    began = time.perf_counter()
    waits = [engine.start(job) for job in jobs]
    results = tuple(wait() for wait in waits)
    return Batch(results, time.perf_counter() - began)


def storm(engine: Engine, stream: Job, arrival: Job, in_flight: int) -> dict[str, float]:
    """Gaps between the tokens of `stream` while `in_flight` fresh copies of `arrival` are always being served."""
    stamps: list[float] = []
    served: list[float] = []
    begun, over = threading.Event(), threading.Event()

    def heard(tokens: int) -> None:
        stamps.append(time.perf_counter())
        begun.set()

    def keep_coming() -> None:
        while not over.is_set():
            engine.start(replace(arrival, ids=renewed(arrival.ids, next(_ARRIVALS))))()
            served.append(time.perf_counter())

    wait = engine.start(stream, heard)
    begun.wait()
    crowd = [threading.Thread(target=keep_coming) for _ in range(in_flight)]
    for thread in crowd:
        thread.start()
    tokens = wait().tokens
    over.set()
    for thread in crowd:
        thread.join()
    gaps = sorted(later - earlier for earlier, later in pairwise(stamps))
    return {
        "tokens": tokens,
        "served": sum(at <= stamps[-1] for at in served),
        "seconds": stamps[-1] - stamps[0],
        "p50_ms": 1000 * quantile(gaps, 0.5),
        "p99_ms": 1000 * quantile(gaps, 0.99),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The number that `share` of the ordered numbers do not pass."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
