"""One engine in a process of its own, so that engines that wait cost those that run nothing.

Reads one JSON call a line from stdin, answers one JSON object a line on stdout. Imports of engines are lazy: what a
process holds in memory must be what its engine needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triroute.bench.engines.base import Engine, run, storm
from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind


def _triroute(model: Path, threads: int) -> Engine:
    from triroute.bench.engines.ours import Ours

    return Ours(model, threads)


def _llamacpp(slots: int) -> Callable[[Path, int], Engine]:
    def load(model: Path, threads: int) -> Engine:
        from triroute.bench.engines.llamacpp import LlamaCpp

        return LlamaCpp(model, threads, slots)

    return load


def _transformers(model: Path, threads: int) -> Engine:
    from triroute.bench.engines.hugging_face import HuggingFace

    return HuggingFace(model, threads)


_LOADERS: dict[Kind, Callable[[Path, int], Engine]] = {
    Kind.OURS: _triroute,
    Kind.LLAMACPP: _llamacpp(1),
    Kind.LLAMACPP_8: _llamacpp(8),
    Kind.TRANSFORMERS: _transformers,
}


def answer(engine: Engine, name: str, arguments: dict[str, Any]) -> Any:
    """Carry one call out. `run` and `storm` are the same for all engines; other names are methods of the engine."""
    match name:
        case "warm_up":
            return asdict(run(engine, [Job(tuple(range(300, 364)), 16, endless=True)]))
        case "run":
            return asdict(run(engine, [Job.of(fields) for fields in arguments["jobs"]]))
        case "storm":
            stream, arrival = Job.of(arguments.pop("stream")), Job.of(arguments.pop("arrival"))
            return storm(engine, stream, arrival, **arguments)
        case _:
            return getattr(engine, name)(**arguments)


def main() -> None:
    """Load the engine named on the command line, then answer until stdin closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with answers
    kind, model, threads = Kind(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

    def tell(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    try:
        engine = _LOADERS[kind](model, threads)
    except Exception as error:
        tell(error=f"can't load: {error}")
        return
    tell(answer=None)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            tell(answer=answer(engine, asked["call"], asked["arguments"]))
        except Exception as error:
            tell(error=f"{type(error).__name__}: {error}")
    os._exit(0)  # threads of some engines outlive them


if __name__ == "__main__":
    main()
