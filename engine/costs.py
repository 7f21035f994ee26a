"""What a pass costs, by its width and the keys that it sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a pass: `base[rows]`, and `per_key` more for each row and each key that it sees.

    `per_draft` are those of drawing a draft after the pass.
    """

    base: tuple[float, ...]
    per_key: float = 0.0
    per_draft: float = 0.0

    def seconds(self, rows: int, own: int = 0, keys: int = 0) -> float:
        """A pass of so many rows, of which `own` see so many keys. Beyond what was measured, by proportion."""
        last = len(self.base) - 1
        base = self.base[rows] if rows <= last else self.base[last] * rows / last
        return base + self.per_key * own * keys
