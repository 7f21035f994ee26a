"""One figure of a policy's cost, its target, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text


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
