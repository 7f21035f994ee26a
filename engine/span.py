"""What one sequence asks of a pass: a chain of tokens, forks of it, and branches of masks that hang from either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from triroute.engine.types import PassKind


@dataclass(frozen=True, slots=True)
class Fork:
    """A row with one token that follows row `behind` of the span, one of the chain or an earlier fork."""

    behind: int
    token: int


@dataclass(frozen=True, slots=True)
class Branch:
    """Rows that see each other, and what row `behind` sees: the first of them follows it in position."""

    behind: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a pass: the chain's, then the forks, then those of each branch.

    `chain` follows what is cached, each row seeing all before it; a fork sees the row it follows, what that sees, and
    itself. From row `exact` on, tokens are drawn as autoregression would draw them: one, and one more for every chain
    token or fork that turns out to be the one drawn. `decided` tokens up to that row are new to the output. Branch rows
    in `propose` give drafts, each for the position after its own; `fixed` holds for each of them the token that it
    stands with already, or None. Where drafts `may_fork`, several may be for one position. With `relaxed`
    verification, likely followers of a row hold beside the one drawn.
    """

    kind: PassKind
    chain: tuple[int, ...]
    exact: int | None = None
    decided: tuple[int, ...] = ()
    forks: tuple[Fork, ...] = ()
    branches: tuple[Branch, ...] = ()
    propose: tuple[int, ...] = ()
    fixed: tuple[int | None, ...] = ()
    may_fork: bool = False
    relaxed: bool = False

    @property
    def width(self) -> int:
        """Rows in all."""
        return len(self.chain) + len(self.forks) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def asked(self) -> tuple[int, ...]:
        """Rows whose scores are wanted: exact ones first."""
        exact = () if self.exact is None else range(self.exact, len(self.chain) + len(self.forks))
        return (*exact, *self.propose)

    def follower(self, row: int, token: int) -> int | None:
        """The row of the chain from `exact` on, or of a fork, that follows `row` with this token."""
        after = row + 1
        if after < len(self.chain) and self.chain[after] == token:
            return after
        forks = enumerate(self.forks, len(self.chain))
        return next((at for at, fork in forks if fork.behind == row and fork.token == token), None)

    def expected(self, row: int) -> tuple[int, ...]:
        """The tokens that follow `row`, in the chain from `exact` on and in forks."""
        return (*self.chain[row + 1 : row + 2], *(fork.token for fork in self.forks if fork.behind == row))

    def holds(self, accepted: Sequence[int]) -> int:
        """How many rows of the chain behind `exact` become cache, when such tokens of it and the forks held."""
        expected = self.chain[(self.exact or 0) + 1 :]
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(accepted, expected, strict=False)))
