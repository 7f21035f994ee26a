"""What a run shows: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from triroute.engine.training.measure import Acceptance

_QUIET_SECONDS = 30


class Report:
    """Writes to stderr."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        """One line for people."""
        self.console.print(escape(text), soft_wrap=True)

    @contextmanager
    def answers(self, what: str, total: int) -> Iterator[Callable[[int, int], None]]:
        """Takes how many answers and tokens there are."""
        with self._bar(what, total, "{task.completed:.0f} of {task.total:.0f}, {task.fields[tokens]:,} tokens") as show:
            yield lambda count, tokens: show(count, f"{what}: {count} of {total}, {tokens:,} tokens", tokens=tokens)

    @contextmanager
    def training(self) -> Iterator[Callable[[float, float, str, float], None]]:
        """Takes progress in 0..1, loss, a figure with its name, rows a second."""
        text = "loss {task.fields[loss]:.3f}, {task.fields[figure]}, {task.fields[rate]:.0f} rows/s"
        with self._bar("training", 1.0, text) as show:

            def tell(progress: float, loss: float, figure: str, rate: float) -> None:
                line = f"{progress:.1%}: loss {loss:.3f}, {figure}, {rate:.0f} rows/s"
                show(progress, line, loss=loss, figure=figure, rate=rate)

            yield tell

    def measured(self, steps: int, seconds: float, found: Acceptance) -> None:
        """Held-out acceptance."""
        workloads = ", ".join(f"{name} {value:.2f}" for name, value in found.by_workload.items())
        slots = " ".join(f"{value:.2f}" for value in found.by_slot)
        self.say(
            f"step {steps}, {seconds / 60:.1f} min: held-out drafts accepted a cycle {found.accepted:.3f} "
            f"({workloads}; by slot {slots})"
        )

    @contextmanager
    def _bar(self, what: str, total: float, text: str) -> Iterator[Callable[..., None]]:
        columns = (TextColumn(what), BarColumn(), TextColumn(text), TimeElapsedColumn(), TimeRemainingColumn())
        said = time.monotonic()
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(what, total=total, tokens=0, loss=0.0, figure="", rate=0.0)

            def show(completed: float, line: str, **fields: Any) -> None:
                nonlocal said
                progress.update(task, completed=completed, **fields)
                if not self.console.is_terminal and time.monotonic() - said > _QUIET_SECONDS:
                    said = time.monotonic()
                    self.say(line)

            yield show
