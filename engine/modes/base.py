"""The protocol behind every decoding mode.

A mode plans one span a pass and absorbs its rows into a commit. The loop owns batching, the cache, stopping, text and
records. The KV contract: `sequence.tokens[:-1]` is cached when `plan` is called, the last token (the *seed*) is
not; after `absorb`, the first `Commit.written` rows of the span are part of the cache, the others never were.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from triroute.engine.types import PassKind


class Pattern(Enum):
    """Which keys a row of a span sees, besides all that are cached."""

    CAUSAL = "causal"  # the span's rows up to itself
    BLOCK = "block"  # all rows of the span
    SEED_CAUSAL = "seed_causal"  # the first row itself alone, the others all rows


@dataclass(frozen=True, slots=True)
class Span:
    """What one sequence asks of a pass.

    `tokens` start at the seed's position. From row `exact_row` on, tokens are drawn exactly as autoregression
    would: one token, and one more for each of `expected` as long as the one before equals it. `propose` rows
    give draft tokens with the model's probability of each.
    """

    kind: PassKind
    tokens: tuple[int, ...]
    pattern: Pattern = Pattern.CAUSAL
    exact_row: int | None = None
    expected: tuple[int, ...] = ()
    propose: tuple[int, ...] = ()

    @property
    def asked(self) -> tuple[int, ...]:
        """Rows whose scores are wanted: exact ones first."""
        if self.exact_row is None:
            return self.propose
        return (*range(self.exact_row, self.exact_row + len(self.expected) + 1), *self.propose)

    def limits(self, start: int) -> list[int]:
        """The last key that each row sees, for a span that starts at position `start`."""
        last = start + len(self.tokens) - 1
        if self.pattern is Pattern.CAUSAL:
            return list(range(start, last + 1))
        first = start if self.pattern is Pattern.SEED_CAUSAL else last
        return [first, *[last] * (len(self.tokens) - 1)]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a pass answers: exact tokens, at least one where asked; proposals and their confidences."""

    exact: tuple[int, ...] = ()
    proposed: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """What a pass came to: tokens for the output, and rows of the span that become cache."""

    tokens: tuple[int, ...] = ()
    written: int = 0
    proposed: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()
    fixed_slots: tuple[int, ...] = ()
    accepted: int = 0
    rejected: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What a mode may see of its sequence: the seed, and how many tokens may still be committed."""

    seed: int
    remaining: int


class Mode(Protocol):
    """One decoder at work on one sequence."""

    def plan(self, view: View) -> Span:
        """The next span. Called when the sequence's committed tokens, but the seed, are cached."""

    def absorb(self, view: View, rows: Rows) -> Commit:
        """Turn the answer to the last span into a commit. `view` is the one that `plan` saw."""
