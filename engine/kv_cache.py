"""The KV cache: one tensor, lent to sequences in contiguous runs of pages.

A run is reserved whole at admission, so a running sequence can never run out. Rows past a sequence's committed
length are scratch: passes write there first, and a commit is what makes them count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

PAGE = 64


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens `start` to `start + length` of the cache, both multiples of PAGE."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


class KVCache:
    """Owns `storage` [layers, 2 (key, value), kv_heads, tokens, head_dim] and who uses which part of it."""

    def __init__(self, storage: Tensor) -> None:
        self.storage = storage
        self.tokens = storage.shape[3]
        self._free = [Run(0, self.tokens)]

    @property
    def used(self) -> int:
        """Tokens in runs that are lent."""
        return self.tokens - sum(run.length for run in self._free)

    def can_ever_hold(self, tokens: int) -> bool:
        """Whether an empty cache could lend a run of so many tokens."""
        return _whole_pages(tokens) <= self.tokens

    def reserve(self, tokens: int) -> Run | None:
        """Lend the first free run of at least so many tokens; None where there is none now."""
        length = _whole_pages(tokens)
        for index, free in enumerate(self._free):
            if free.length >= length:
                rest = Run(free.start + length, free.length - length)
                self._free[index : index + 1] = [rest] if rest.length else []
                return Run(free.start, length)
        return None

    def release(self, run: Run) -> None:
        """Take a run back, and join it with its free neighbours."""
        joined: list[Run] = []
        for free in sorted([*self._free, run], key=lambda free: free.start):
            if joined and joined[-1].end == free.start:
                joined[-1] = Run(joined[-1].start, joined[-1].length + free.length)
            else:
                joined.append(free)
        self._free = joined

    def check_integrity(self, lent: Iterable[Run]) -> None:
        """Raise RuntimeError unless free and lent runs tile the cache exactly."""
        end = 0
        for run in sorted([*self._free, *lent], key=lambda run: run.start):
            if run.start != end or run.length <= 0:
                raise RuntimeError(f"KV cache: run at {run.start} begins where {end} was expected")
            end = run.end
        if end != self.tokens:
            raise RuntimeError(f"KV cache: runs end at {end}, the cache at {self.tokens}")


def _whole_pages(tokens: int) -> int:
    return -(-tokens // PAGE) * PAGE
