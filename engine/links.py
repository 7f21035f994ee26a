"""What tells a draft of a block about those before it: the adapter's head, and the sequence where it repeats itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triroute.engine.hydra import Trail
from triroute.engine.lookup import Echo


class Links:
    """A walk along a block, slot after slot."""

    def __init__(self, trail: Trail | None, echo: Echo | None) -> None:
        self._trail = trail
        self._echo = echo
        self._follower: int | None = None
        self._first = -1

    def begin(self, behind: Sequence[int], within: Sequence[int]) -> None:
        """Tokens that came before the block, and those in the place of its first slots."""
        for token in behind:
            if self._echo is not None:
                self._echo.step(token)
        for token in within:
            self.step(token)

    def fork(self) -> Links:
        """Another walk that has come as far."""
        return Links(
            self._trail.fork() if self._trail is not None else None,
            self._echo.fork() if self._echo is not None else None,
        )

    def step(self, token: int) -> None:
        """Go on to the next slot; `token` stands in its place."""
        if self._trail is not None:
            self._trail.step(token)
        if self._echo is not None:
            self._echo.step(token)

    def shift(self, scores: NDArray[np.float32], allowed: NDArray[np.uint8] | None) -> None:
        """Move the scores [vocab] of this slot, in place; `allowed` as in `sampling.draw`."""
        if self._trail is not None:
            self._trail.shift(scores, allowed)
        self._follower = None
        found = self._echo.follower() if self._echo is not None else None
        if found is not None:
            token, weight = found
            self._first = int(scores.argmax())
            self._follower = token
            scores[token] += weight

    def repeats(self, token: int) -> bool:
        """Whether this slot's draft is what followed the last time, and not what the model thought of first."""
        return token == self._follower and token != self._first
