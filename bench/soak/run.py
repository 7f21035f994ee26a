"""Many cases in a row, on the tiny model or a real one, with a report."""

from __future__ import annotations

import json
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from triroute.bench.soak.cases import Case, cases
from triroute.bench.soak.check import Broken, Checker
from triroute.engine.adapters import head, packed
from triroute.engine.checkpoints import default_checkpoint, load_checkpoint, shipped_adapter, with_adapter
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.errors import CheckpointError
from triroute.engine.model import Model
from triroute.engine.testing import tiny_checkpoint, tiny_head
from triroute.kernels.cpu.team import available_cores

_LONGEST = {"tiny": 40, "default": 24}


def run(model: str, count: int, case_seed: int, report: Path | None) -> bool:
    """Check `count` cases, print and write what came of it; whether all held. Raises ValueError for a bad model."""
    try:
        checkpoint = tiny_checkpoint() if model == "tiny" else load_checkpoint(_path(model))
    except CheckpointError as error:
        raise ValueError(str(error)) from error
    checkpoint = with_adapter(checkpoint, shipped_adapter(checkpoint.sha256))
    adapter = packed(checkpoint.adapter, checkpoint.weights.config.layers)
    threads = 1 if model == "tiny" else available_cores()
    linked = tiny_head() if model == "tiny" else head(checkpoint.adapter)
    checker = Checker(checkpoint.tokenizer, Model(checkpoint.weights, threads, adapter, linked))
    started = time.perf_counter()
    broken = _check_all(checker, count, case_seed, _LONGEST.get(model, _LONGEST["default"]))
    seconds = time.perf_counter() - started
    _show(checkpoint, checker, count, seconds, broken)
    if report is not None:
        figures = {
            "model": checkpoint.name,
            "checkpoint_sha256": checkpoint.sha256,
            "cases": count,
            "seed": case_seed,
            "seconds": round(seconds, 1),
            "counts": dict(sorted(checker.tally.items())),
            "broken": broken,
        }
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return broken is None


def _check_all(checker: Checker, count: int, case_seed: int, longest: int) -> str | None:
    """The smallest case that breaks a promise, in words, or None."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("cases", total=count)

        @seed(case_seed)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases(checker.vocab, longest))
        def check(case: Case) -> None:
            progress.advance(task)
            checker.check(case)

        try:
            check()
        except Broken as error:
            return "\n".join([str(error), *getattr(error, "__notes__", [])])
    return None


def _path(model: str) -> Path:
    return default_checkpoint() if model == "default" else Path(model)


def _show(checkpoint: Checkpoint, checker: Checker, count: int, seconds: float, broken: str | None) -> None:
    table = Table(title=f"{count} cases on {checkpoint.name} in {seconds:.0f} s", title_justify="left")
    table.add_column("what they had in them")
    table.add_column("count", justify="right")
    for name, number in sorted(checker.tally.items()):
        table.add_row(name, f"{number:,}")
    console = Console()
    console.print(table)
    console.print(
        broken or "[green]every text equals that of its request alone[/green]",
        markup=not broken,
    )
