"""The protocol behind every decoding mode.

A mode plans one span a pass and absorbs its rows into a commit. The loop owns batching, the cache, drawing, stopping,
text and records. The KV contract: what a mode sees as `View.pending` is committed but not cached; the rows of a span's
chain become cache as far as they hold, branches never do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from triroute.engine.span import Span
from triroute.engine.types import DraftSource, PassKind, TokenLogprob


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed token. `confidence` is the model's probability of it; 1 where the model was not asked.

    `logprob` is None where nobody wants it. Drafts follow one another, but where they fork each has in `behind` the
    index of the one that it follows, -1 for none.
    """

    token: int
    confidence: float = 1.0
    source: DraftSource = DraftSource.DIFFUSION
    logprob: TokenLogprob | None = None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What prompt lookup offers: drafts, and how many tokens before them matched."""

    match: int = 0
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Company:
    """The others in a pass: how many sequences, and about how many rows."""

    sequences: int = 0
    rows: int = 0


def _nothing(most: int) -> Found:
    return Found()


@dataclass(frozen=True, slots=True)
class View:
    """What a mode may see of its sequence.

    `pending` tokens, at least one, are committed but not cached; `remaining` may still be committed. Where it is
    `constrained`, a grammar decides with. `lookup(most)` searches the sequence for a repetition.
    """

    pending: tuple[int, ...]
    remaining: int
    cached: int = 0
    company: Company = Company()
    constrained: bool = False
    lookup: Callable[[int], Found] = _nothing


@dataclass(frozen=True, slots=True)
class Rows:
    """What a pass answers.

    `exact` tokens, of which the first `accepted` were expected, those at `forced` left no choice, and those at `lossy`
    are not what autoregression draws. `drafts` are one for each proposed row of a block that is being refined; else
    they follow the exact tokens. `logprobs` are those of the exact tokens, or none.
    """

    exact: tuple[int, ...] = ()
    accepted: int = 0
    forced: tuple[int, ...] = ()
    drafts: tuple[Draft, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    lossy: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """What a pass came to: `tokens` for the output, `checked` drafts, `accepted` of which held, those first.

    `logprobs` are those of the tokens, or none where nobody wants them. Those at `lossy` are not autoregression's.
    """

    tokens: tuple[int, ...] = ()
    forced: tuple[int, ...] = ()
    proposed: tuple[Draft, ...] = ()
    fixed_slots: tuple[int, ...] = ()
    checked: tuple[Draft, ...] = ()
    accepted: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    lossy: tuple[int, ...] = ()


class Mode(Protocol):
    """One decoder at work on one sequence."""

    @property
    def settled(self) -> bool:
        """Whether another mode may take over without losing passes that this one has run."""

    def plan(self, view: View) -> Span:
        """The next span."""

    def absorb(self, view: View, rows: Rows) -> Commit:
        """Turn the answer to the last span into a commit. `view` is the one that `plan` saw."""


def decode_span(view: View) -> Span:
    """Everything pending, and the one token after it."""
    return Span(PassKind.DECODE, view.pending, exact=len(view.pending) - 1)
