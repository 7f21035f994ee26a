"""Counts by cell, read from the particular to the general."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

TRUST = 8.0  # tries that outweigh the next level, and that make a mean worth something

Cell: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class Tally:
    """Successes and tries, by cell."""

    counts: dict[Cell, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(self, cell: Cell, held: float, tried: float = 1.0) -> None:
        count = self.counts[cell]
        count[0] += held
        count[1] += tried

    def tries(self, cell: Cell) -> float:
        return self.counts[cell][1] if cell in self.counts else 0.0

    def known(self, cell: Cell) -> float | None:
        """The mean of a cell with enough tries."""
        return self.counts[cell][0] / self.counts[cell][1] if self.tries(cell) >= TRUST else None

    def share(self, cells: Sequence[Cell], prior: float) -> float:
        """The share of the first cell, whose tries outweigh that of the next, and so on to the prior."""
        for cell in reversed(cells):
            if cell in self.counts:
                held, tried = self.counts[cell]
                prior = (held + TRUST * prior) / (tried + TRUST)
        return prior
