"""What one sequence asks of a pass: a chain of tokens, and branches of masks that hang from it."""

from __future__ import annotations

from dataclasses import dataclass

from triroute.engine.types import PassKind


@dataclass(frozen=True, slots=True)
class Branch:
    """Rows that see each other, and the chain's first `after` rows: the first of them follows those in position."""

    after: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a pass, the chain's first, then those of each branch.

    `chain` follows what is cached, each row seeing all before it. From row `exact` on, tokens are drawn as
    autoregression would draw them: one, and one more for every chain token that turns out to be the one drawn.
    `decided` tokens up to that row are new to the output. Branch rows in `propose` give drafts, each for the position
    after its own; `fixed` holds for each of them the token that it stands with already, or None.
    """

    kind: PassKind
    chain: tuple[int, ...]
    exact: int | None = None
    decided: tuple[int, ...] = ()
    branches: tuple[Branch, ...] = ()
    propose: tuple[int, ...] = ()
    fixed: tuple[int | None, ...] = ()

    @property
    def width(self) -> int:
        """Rows in all."""
        return len(self.chain) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def expected(self) -> tuple[int, ...]:
        """Chain tokens that must be drawn to hold."""
        return () if self.exact is None else self.chain[self.exact + 1 :]

    @property
    def asked(self) -> tuple[int, ...]:
        """Rows whose scores are wanted: exact ones first."""
        exact = () if self.exact is None else range(self.exact, len(self.chain))
        return (*exact, *self.propose)
