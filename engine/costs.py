"""What a pass costs: measured once, when the engine starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triroute.engine.kv_cache import pages_for
from triroute.engine.model import Block, Model, Storage
from triroute.kernels.cpu.attention import PAGE

_WIDTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
_REPEATS = 5
_KEYS = 512


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a pass: `base[rows]`, and `per_key` more for each row and each key that it sees."""

    base: tuple[float, ...]
    per_key: float = 0.0

    @classmethod
    def measured(cls, model: Model, storage: Storage, pages: int) -> Costs:
        """Time passes of several widths, on a cache that nobody uses yet."""
        keys = min(_KEYS, (pages - 2) * PAGE, model.config.context_length - _WIDTHS[-1])
        short = [_seconds(model, storage, width, 0) for width in _WIDTHS]
        base = np.interp(range(_WIDTHS[-1] + 1), _WIDTHS, np.minimum.accumulate(short[::-1])[::-1])
        width = 4
        slope = (_seconds(model, storage, width, keys) - _seconds(model, storage, width, 0)) / (width * max(keys, 1))
        return cls(tuple(base.tolist()), max(slope, 0.0))

    def seconds(self, rows: int, own: int = 0, keys: int = 0) -> float:
        """A pass of so many rows, of which `own` see so many keys. Beyond what was measured, by proportion."""
        last = len(self.base) - 1
        base = self.base[rows] if rows <= last else self.base[last] * rows / last
        return base + self.per_key * own * keys


def _seconds(model: Model, storage: Storage, width: int, keys: int) -> float:
    """The fastest of some passes of `width` rows that each see `keys` more, all of them asked for scores."""
    block = Block(keys, [0] * width, list(range(pages_for(keys + width))))
    asked: Sequence[int] = range(width)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        model.run([block], storage, asked)
        times.append(time.perf_counter() - started)
    return min(times)
