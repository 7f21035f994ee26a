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


def storm(engine: Engine, stream: Job, arrival: Job, in_flight: int, seconds: float) -> dict[str, float]:
    """Gaps between the tokens of `stream` while `in_flight` fresh copies of `arrival` are always being served.

    The storm lasts `seconds`, or until the stream ends. The wait that its end cuts short counts as a gap.
    """
    stamps: list[float] = []
    served: list[float] = []
    begun, finished, over = threading.Event(), threading.Event(), threading.Event()

    def heard(tokens: int) -> None:
        stamps.append(time.perf_counter())
        begun.set()

    def keep_coming() -> None:
        while not over.is_set():
            engine.start(replace(arrival, ids=renewed(arrival.ids, next(_ARRIVALS))))()
            served.append(time.perf_counter())

    def hear_out() -> None:
        wait()
        finished.set()
        over.set()

    wait = engine.start(stream, heard)
    begun.wait()
    began = time.perf_counter()
    threads = [threading.Thread(target=target) for target in (hear_out, *[keep_coming] * in_flight)]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    ended = stamps[-1] if finished.is_set() else time.perf_counter()
    for thread in threads:
        thread.join()
    in_time = [at for at in stamps if began < at <= ended]
    gaps = sorted(later - earlier for earlier, later in pairwise([began, *in_time, ended]) if later > earlier)
    return {
        "tokens": len(in_time),
        "served": sum(at <= ended for at in served),
        "seconds": ended - began,
        "p50_ms": 1000 * quantile(gaps, 0.5),
        "p99_ms": 1000 * quantile(gaps, 0.99),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The number that `share` of the ordered numbers do not pass."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
