"""A draft head that knows the token before: a small recurrent net whose output shifts the scores of a few candidates.

After Hydra (Ankner et al., arXiv:2402.05109): masks are drafted side by side, each blind to what the others become; the
head then goes through them in order and tells each what was drafted before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.adapter import lift, squeeze
from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.rows import normalize, widen


class Head(NamedTuple):
    """`data` is bf16 kept as uint16: state [width, hidden], token [width, hidden], memory [width, width] and the
    transposed out [width, hidden], one after the other. Sizes are multiples of 16."""

    data: NDArray[np.uint16]
    width: int
    hidden: int
    ones: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        state: NDArray[np.float32],
        token: NDArray[np.float32],
        memory: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> Head:
        """From matrices of shapes [outputs, inputs]."""
        parts = [state, token, memory, np.ascontiguousarray(out.T)]
        tail = np.zeros(LANES, dtype=np.uint16)
        width, hidden = state.shape
        data = np.concatenate([*(to_bfloat16(part).reshape(-1) for part in parts), tail])
        return cls(data, width, hidden, np.ones(hidden, dtype=np.float32))


@compiled
def advance(
    head: Any,
    states: Any,
    row: int,
    embedding: Any,
    token: int,
    least: Any,
    memory: Any,
    sums: Any,
    known: Any,
    added: Any,
) -> None:
    """One slot on: `memory` [width] takes in the state of `row` and the `token` in its place; `added` [hidden] is what
    that adds to the state.

    `states` fp32 and `embedding` are flat; `sums` [3 * width] and `known` [hidden] are scratch.
    """
    width, hidden, data = head.width, head.hidden, head.data
    widen(embedding, token * hidden, hidden, known, 0)
    normalize(known, 0, head.ones, 0, hidden, least, known, 0)
    squeeze(data, 0, width, states, row * hidden, hidden, sums, 0)
    squeeze(data, width * hidden, width, known, 0, hidden, sums, width)
    squeeze(data, 2 * width * hidden, width, memory, 0, width, sums, 2 * width)
    for i in range(width):
        value = sums[i] + sums[width + i] + sums[2 * width + i]
        memory[i] = value / (np.float32(1) + np.exp(-value))
        sums[i] = memory[i]
    start = 2 * width * hidden + width * width
    for column in range(0, hidden, LANES):
        for i in range(LANES):
            added[column + i] = 0
        lift(data, start + column, width, hidden, sums, 0, added, column)


@compiled
def shift(scores: Any, tokens: Any, count: int, embedding: Any, added: Any, moves: Any) -> None:
    """Add to the scores of `count` candidates, likeliest first, what `added` [hidden] makes of each.

    The best of them stays as far above all that are no candidates as it was. `moves` [count] is scratch.
    """
    hidden = len(added)
    best = np.float32(-np.inf)
    for i in range(count):
        squeeze(embedding, tokens[i] * hidden, 1, added, 0, hidden, moves, i)
        best = max(best, scores[tokens[i]] + moves[i])
    lost = scores[tokens[0]] - best
    for i in range(count):
        scores[tokens[i]] += moves[i] + lost
