"""One sequence's draws: what its grammar allows after the tokens taken so far."""

from __future__ import annotations

from collections.abc import Set

from torch import Tensor

from triroute.engine.grammar import Constraint
from triroute.engine.modes.base import Draft
from triroute.engine.sampling import confidence, draw
from triroute.engine.types import DraftSource, Sampling


class Sampler:
    """Draws tokens, takes them in, and gives them back."""

    def __init__(self, sampling: Sampling, constraint: Constraint | None, end_ids: Set[int]) -> None:
        self.sampling = sampling
        self.end_ids = end_ids
        self._constraint = constraint

    @property
    def constrained(self) -> bool:
        """Whether a grammar decides with."""
        return self._constraint is not None

    def draw(self, scores: Tensor, position: int) -> Draft:
        """The token at `position`, as autoregression draws it after what was taken. Raises EngineError."""
        allowed = self._constraint.allowed() if self._constraint is not None else None
        token = draw(scores, self.sampling, position, allowed)
        return Draft(token, confidence(scores, token), DraftSource.DIFFUSION)

    def accepts(self, token: int) -> bool:
        """Whether the grammar allows `token` next."""
        return self._constraint is None or self._constraint.accepts(token)

    def take(self, token: int) -> None:
        """Go on after `token`. Raises EngineError when the grammar does not allow it."""
        if self._constraint is not None:
            self._constraint.advance(token)

    def take_forced(self) -> tuple[int, ...]:
        """Take whatever the grammar leaves no choice about, up to the end of the output."""
        return self._constraint.take_forced() if self._constraint is not None else ()

    def back(self, count: int) -> None:
        """Give the last `count` tokens back."""
        if self._constraint is not None and count:
            self._constraint.back(count)
