"""What a pass costs, by its width and the keys that it sees."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_DOUBLE = 1024  # keys: one row that sees so many costs at most twice what it costs without; measured: near 5,000


@dataclass(slots=True)
class Costs:
    """Seconds of a pass: `base[rows]`, and `per_key` more for each row and each key that it sees.

    `per_draft` are those of drawing a draft after the pass.
    """

    base: list[float]
    per_key: float = 0.0
    per_draft: float = 0.0

    def seconds(self, rows: int, own: int = 0, keys: int = 0) -> float:
        """A pass of so many rows, of which `own` see so many keys. Beyond what was measured, by proportion."""
        last = len(self.base) - 1
        base = self.base[rows] if rows <= last else self.base[last] * rows / last
        return base + self.per_key * own * keys

    def observe(self, rows: int, seconds: float) -> None:
        """Such a pass took so long, with whatever keys it had: it can't cost more, nor can a narrower one.

        What was measured while the machine was busy with something else comes right that way.
        """
        if 0 < rows < len(self.base) and self.base[rows] > seconds:
            while rows > 0 and self.base[rows] > seconds:
                self.base[rows] = seconds
                rows -= 1
            self.per_key = min(self.per_key, self.base[1] / LEAST_DOUBLE)
