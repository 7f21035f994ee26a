"""Triroute's engine, without its server, as `triroute.engine` lets anyone drive it."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triroute.bench.engines.base import Heard
from triroute.bench.engines.resident import import_costs, present, resident
from triroute.bench.jobs import Job, Result

PYTHON = resident()["now"]
LIBRARIES = import_costs(
    {
        "NumPy": ("numpy",),
        "Numba, LLVM": ("numba", "llvmlite.binding", "numba.extending"),
        "other libraries": ("triroute.engine.engine",),
    }
)

from triroute.engine.config import EngineConfig  # noqa: E402 - what each import costs is measured above
from triroute.engine.engine import Engine  # noqa: E402
from triroute.engine.grammar import compile_format  # noqa: E402
from triroute.engine.types import (  # noqa: E402
    Committed,
    Event,
    Failed,
    Finished,
    FormatKind,
    ModeName,
    PassKind,
    Plan,
    Request,
    ResponseFormat,
    Sampling,
)


class Ours:
    """One engine in this process."""

    def __init__(self, model: Path, threads: int) -> None:
        self.engine = Engine.load(model, EngineConfig(threads=threads))
        self.ends = self.engine.tokenizer.end_ids
        self.loaded = resident()["now"]
        self._numbers = itertools.count()

    def start(self, job: Job, heard: Heard | None = None) -> Callable[[], Result]:
        """Submit, and listen on the engine's thread: waking another for each token would cost what is measured."""
        events: list[tuple[float, Event]] = []
        over = threading.Event()

        def sink(event: Event) -> None:
            events.append((time.perf_counter(), event))
            if isinstance(event, (Finished, Failed)):
                over.set()
            elif heard is not None and isinstance(event, Committed) and event.token_ids:
                heard(len(event.token_ids))

        self.engine.tokenizer.end_ids = frozenset() if job.endless else self.ends  # read while submitting
        shape = ResponseFormat(FormatKind.JSON_SCHEMA, job.schema) if job.schema else None
        constraint = compile_format(shape, self.engine.tokenizer) if shape else None
        request = Request(
            f"bench-{next(self._numbers)}",
            job.ids,
            Plan(ModeName(job.mode), job.block_length),
            Sampling(max_tokens=job.tokens),
            shape,
        )
        began = time.perf_counter()
        self.engine.submit(request, constraint, sink)

        def wait() -> Result:
            over.wait()
            return _result(events, began)

        return wait

    def memory(self) -> dict[str, float]:
        """Resident memory, and whose it is. The rest: the loader's leftovers, machine code, scratch, Python objects."""
        parameters = self.engine.model.parameters
        weights = (parameters.linears.data, parameters.embedding, parameters.cosine, parameters.sine)
        parts = {
            "weights": sum(present(array) for array in weights),
            "KV cache": present(self.engine.scheduler.cache.storage),
            "Python": PYTHON,
            **LIBRARIES,
        }
        sizes = resident()
        return {**sizes, **parts, "the rest": sizes["now"] - sum(parts.values())}

    def records(self, jobs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        """What the pass records of each job cost."""
        from triroute.bench.engines.record_cost import record_cost

        return {job.mode: record_cost(self, job) for job in map(Job.of, jobs)}


def _result(events: list[tuple[float, Event]], began: float) -> Result:
    commits: list[tuple[float, Committed]] = []
    passes: list[int] = []
    text, finished = "", None
    for at, event in events:
        match event:
            case Committed():
                text += event.text
                if event.token_ids:
                    commits.append((at, event))
                if event.record.kind is PassKind.DECODE and event.record.width == 1:
                    passes.append(event.record.duration_us)
            case Finished():
                text += event.text
                finished = event
            case Failed():
                raise RuntimeError(event.message)
    if finished is None or not commits:
        raise RuntimeError("the generation ended without a token")
    (first, opening), (last, _) = commits[0], commits[-1]
    return Result(
        tokens=finished.usage.completion_tokens,
        characters=len(text),
        passes=finished.usage.passes,
        first_token_s=first - began,
        decoded=finished.usage.completion_tokens - len(opening.token_ids),
        decode_s=last - first,
        pass_ms=statistics.median(passes) / 1000 if passes else 0.0,
    )
