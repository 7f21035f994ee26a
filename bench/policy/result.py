"""One figure of a policy's cost, its target, and whether it is met."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triroute.bench.machine import this_machine


@dataclass(frozen=True, slots=True)
class Result:
    """`measured` is at most `target` where the target is met, in `unit`. `reference`: what others are known for."""

    measure: str
    reference: str
    measured: float
    target: float
    unit: str
    note: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"met": self.met}


def finish(results: Sequence[Result], command: str, file: Path | None, *, must_meet: bool) -> None:
    """Print, write to a file where one is given, and exit with 1 where a target that must be met is missed."""
    Console(width=180).print(table(results))
    if file:
        told = {
            "command": command,
            "machine": asdict(this_machine(1)),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "results": [one.as_dict() for one in results],
        }
        file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if must_meet and not all(one.met for one in results):
        raise SystemExit(1)


def table(results: Sequence[Result]) -> Table:
    """A row a figure."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("measure", "reference", "target", "measured", "", "note"):
        shown.add_column(name, justify="right" if name in ("target", "measured") else "left")
    for one in results:
        mark = Text("✓", style="green") if one.met else Text("✗", style="red")
        target = f"≤ {one.target:g} {one.unit}".strip()
        shown.add_row(one.measure, one.reference, target, f"{one.measured:.3g} {one.unit}", mark, one.note)
    return shown
