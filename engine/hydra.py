"""Drafts that know the drafts before them: a small head that goes through a block's slots in order.

Masks of a block are scored side by side, each blind to what the others become. The head takes the state of a slot, the
token that stands in its place and its memory of the slots before, and moves the scores of the likeliest candidates
(Hydra, Ankner et al., arXiv:2402.05109). What is verified does not change, only how often it holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.engine.sampling import EVERYTHING, Bits, Desk
from triroute.engine.sampling import Row as Scores
from triroute.kernels.cpu.draw import first_tokens
from triroute.kernels.cpu.hydra import Head, advance, shift

CANDIDATES = 16
LEAST_SQUARE = 1e-6  # keeps the length of an embedding row of zeros finite
_LEAST = np.float32(LEAST_SQUARE)


class Hydra:
    """The head, and room for one step at a time. `embedding` [vocab + 1, hidden] is the model's."""

    def __init__(self, head: Head, embedding: NDArray[Any]) -> None:
        self.head = head
        self.embedding = embedding.reshape(-1)
        self.sums, self.known, self.added = (
            np.zeros(size, dtype=np.float32) for size in (3 * head.width, head.hidden, head.hidden)
        )
        self.moves = np.zeros(CANDIDATES, dtype=np.float32)
        self.desk = Desk(len(embedding) - 1)

    def trail(self, states: NDArray[np.float32]) -> Trail:
        """Begin a block whose slots have `states` fp32 [slots, hidden]."""
        return Trail(self, states)


class Trail:
    """One walk along a block."""

    def __init__(self, hydra: Hydra, states: NDArray[np.float32]) -> None:
        self._hydra = hydra
        self._states = states.reshape(-1)
        self._memory = np.zeros(hydra.head.width, dtype=np.float32)
        self._slot = 0

    def fork(self) -> Trail:
        """Another walk that has come as far."""
        other = Trail(self._hydra, self._states)
        other._memory[:], other._slot = self._memory, self._slot
        return other

    def step(self, token: int) -> None:
        """Go on to the next slot; `token` stands in its place."""
        hydra = self._hydra
        advance(
            hydra.head,
            self._states,
            self._slot,
            hydra.embedding,
            token,
            _LEAST,
            self._memory,
            hydra.sums,
            hydra.known,
            hydra.added,
        )
        self._slot += 1

    def shift(self, scores: Scores, allowed: Bits | None) -> None:
        """Move the scores [vocab] of this slot, in place, for what its token is; `allowed` as in `sampling.draw`."""
        hydra = self._hydra
        bits, scratch = EVERYTHING if allowed is None else allowed, hydra.desk.scratch
        count = first_tokens(hydra.desk.padded(scores), bits, CANDIDATES, False, scratch)
        shift(scores, scratch.tokens, count, hydra.embedding, hydra.added, hydra.moves)
