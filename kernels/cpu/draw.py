"""Drawing one token from one row of scores: `argmax(filtered((scores - largest) / temperature) + noise)`.

Filters keep a prefix of the tokens in order of probability, lower ids first among equals: top-k its first k, top-p
(Holtzman et al., arXiv:1904.09751) those with less than p before them, min-p (Nguyen et al., arXiv:2407.01082) those
at least min_p times as likely as the first. Since all are prefixes of one order, what can't be drawn is left out
early: noise is bounded, so a token 25.05 below the largest never wins. A draw is a pure function of its inputs.

Rows are padded to whole lanes with minus infinity. `allowed` has a bit a token, lowest first, or is empty for all.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.noise import LEAST, MOST
from triroute.kernels.cpu.prefix import BINS, UNIT, cut
from triroute.kernels.cpu.scores import (
    noisiest,
    peak_all,
    peak_allowed,
    scale_all,
    scale_allowed,
    sum_weights,
    weigh,
)

_INFINITY = float("inf")
_LOWEST, _NEAR, _CLOSE = np.float32(LEAST - MOST), np.float32(-12), np.float32(-5)
_WORTH_DRAFTING = np.float32(-8)


class Scratch(NamedTuple):
    """Room for one draw at a time from rows of `width` scores."""

    values: NDArray[np.float32]
    tokens: NDArray[np.int32]
    weights: NDArray[np.float32]
    places: NDArray[np.int32]
    near: NDArray[np.uint16]
    bins: NDArray[np.int64]
    best: NDArray[np.float32]
    where: NDArray[np.int32]

    @classmethod
    def of(cls, width: int) -> Scratch:
        room = width + LANES
        return cls(
            np.zeros(room, dtype=np.float32),
            np.zeros(room, dtype=np.int32),
            np.zeros(room, dtype=np.float32),
            np.zeros(room, dtype=np.int32),
            np.zeros(width // LANES, dtype=np.uint16),
            np.zeros(BINS, dtype=np.int64),
            np.zeros(LANES, dtype=np.float32),
            np.zeros(LANES, dtype=np.int32),
        )


@compiled
def draw_row(
    scores: Any,
    allowed: Any,
    temperature: Any,
    top_k: int,
    top_p: float,
    min_p: float,
    first: int,
    second: int,
    scratch: Any,
) -> int:
    """The token drawn from `scores` [width]. `top_k` 0, `top_p` 1 and `min_p` 0 keep all; the keys are of the noise."""
    token: int
    largest, token = _top(scores, allowed, scratch)
    if temperature == 0 or not np.isfinite(largest):
        return token
    least = _LOWEST
    if min_p > 0 and (top_k == 0 or top_p == 1):  # with both, top-p counts the mass of all that top-k kept
        least = max(_LOWEST, np.float32(math.log(min_p) - 1e-3))
    count = -1
    if least < _NEAR and (top_k > 0 or top_p < 1):
        count = _filtered(scores, allowed, largest, temperature, _NEAR, False, top_k, top_p, scratch)
    if count < 0:
        count = _filtered(scores, allowed, largest, temperature, least, True, top_k, top_p, scratch)
    if min_p > 0:
        count = _drop_rare(count, np.float32(min_p), scratch)
    if count == 0:
        return token
    noisiest(scratch.values, scratch.tokens, _padded(count, scratch), first, second, scratch.best, scratch.where)
    token = _join(scratch)[1]
    return token


@compiled
def draw_several(
    scores: Any,
    allowed: Any,
    temperature: Any,
    top_k: int,
    top_p: float,
    min_p: float,
    first: int,
    second: int,
    scratch: Any,
    found: Any,
    values: Any,
) -> int:
    """The first of what `draw_row` would draw, if it drew without putting back, to the front of `found`; how many.

    `values` are what they were drawn for: scores less the largest, over the temperature, with their noise. Tokens that
    are e^8 times less likely than the first are left out.
    """
    count: int
    largest = _top(scores, allowed, scratch)[0]
    if temperature == 0 or not np.isfinite(largest):
        count = first_tokens(scores, allowed, len(found), False, scratch)
        found[:count], values[:count] = scratch.tokens[:count], scratch.values[:count]
        return count
    count = _filtered(scores, allowed, largest, temperature, _WORTH_DRAFTING, True, top_k, top_p, scratch)
    if min_p > 0:
        count = _drop_rare(count, np.float32(min_p), scratch)
    end = _padded(count, scratch)
    most: int = min(count, len(found))
    for place in range(most):
        noisiest(scratch.values, scratch.tokens, end, first, second, scratch.best, scratch.where)
        values[place], found[place] = _join(scratch)
        for i in range(count):
            if scratch.tokens[i] == found[place]:
                scratch.values[i] = -_INFINITY
    return most


@compiled
def log_total(row: Any, scratch: Any) -> float:
    """Logarithm of the sum of `exp(row)`; a score less it is a log-probability."""
    peak_all(row, row, len(row), scratch.best, scratch.where)
    largest = _join(scratch)[0]
    return float(largest) + math.log(_total(row, len(row), largest, scratch))


@compiled
def first_tokens(row: Any, allowed: Any, most: int, far: bool, scratch: Any) -> int:
    """The likeliest tokens of `row`, at most `most`, in order, to the front of `scratch.tokens`; how many.

    Fewer, unless `far`, where there are not so many within e^12 of the first.
    """
    largest = _top(row, allowed, scratch)[0]
    one = np.float32(1)
    count: int = _filtered(row, allowed, largest, one, _CLOSE, False, most, 1.0, scratch)
    if count < 0:
        count = _filtered(row, allowed, largest, one, _NEAR, not far, most, 1.0, scratch)
    if count < 0:
        count = _filtered(row, allowed, largest, one, np.float32(-_INFINITY), True, most, 1.0, scratch)
    values, tokens = scratch.values, scratch.tokens
    for end in range(1, count):
        value, token, place = values[end], tokens[end], end
        while place > 0 and values[place - 1] < value:
            values[place], tokens[place] = values[place - 1], tokens[place - 1]
            place -= 1
        values[place], tokens[place] = value, token
    return count


@compiled
def _top(scores: Any, allowed: Any, scratch: Any) -> tuple[Any, int]:
    """The largest score and its token; where none is above minus infinity, the first allowed token."""
    if len(allowed) > 0:
        peak_allowed(scores, allowed, len(scores), scratch.best, scratch.where)
    else:
        peak_all(scores, allowed, len(scores), scratch.best, scratch.where)
    largest, token = _join(scratch)
    if largest == -_INFINITY:
        token = 0
        for other in range(8 * len(allowed)):
            if allowed[other >> 3] >> (other & 7) & 1:
                return largest, other
    return largest, token


@compiled
def _filtered(
    scores: Any,
    allowed: Any,
    largest: Any,
    temperature: Any,
    floor: Any,
    last: bool,
    top_k: int,
    top_p: float,
    scratch: Any,
) -> int:
    """Gather values above `floor`, keep those in top-k and top-p; how many.

    -1 where the filters reach below `floor`, unless it is the `last` one.
    """
    values, tokens, weights, width = scratch.values, scratch.tokens, scratch.weights, len(scores)
    if len(allowed) > 0:
        scale_allowed(scores, allowed, width, largest, temperature, floor, values, scratch.near)
    else:
        scale_all(scores, allowed, width, largest, temperature, floor, values, scratch.near)
    zero, total = np.float32(0), 0.0
    if top_p < 1 and top_k == 0:
        total = _total(values, width, zero, scratch)
    count: int = _gather(width // LANES, scratch)
    if count < top_k and not last:
        return -1
    if 0 < top_k < count:
        count = cut(values, tokens, weights, count, False, top_k, scratch.bins, scratch.places)
    if top_p < 1:
        weigh(values, _padded(count, scratch), zero, weights)
        mass: Any = 0
        for i in range(count):
            mass += np.int64(weights[i] * UNIT)
        need = math.ceil(top_p * total * UNIT) if top_k == 0 else math.ceil(top_p * mass)
        if mass < need and not last:
            return -1
        count = cut(values, tokens, weights, count, True, need, scratch.bins, scratch.places)
    return count


@compiled
def _gather(steps: int, scratch: Any) -> int:
    """Move the near values to the front, with their tokens; how many."""
    values, tokens, count = scratch.values, scratch.tokens, 0
    for step in range(steps):
        bits: Any = np.int64(scratch.near[step])
        if bits:
            for lane in range(LANES):
                token = step * LANES + lane
                tokens[count], values[count] = token, values[token]
                count += (bits >> lane) & 1
    return count


@compiled
def _drop_rare(count: int, min_p: Any, scratch: Any) -> int:
    values, tokens, weights, kept = scratch.values, scratch.tokens, scratch.weights, 0
    weigh(values, _padded(count, scratch), np.float32(0), weights)
    for i in range(count):
        values[kept], tokens[kept] = values[i], tokens[i]
        kept += weights[i] >= min_p
    return kept


@compiled
def _padded(count: int, scratch: Any) -> int:
    """The list's length in whole lanes; what is behind its end can't be drawn."""
    end = (count + LANES - 1) // LANES * LANES
    scratch.values[count:end] = -_INFINITY
    return end


@compiled
def _total(row: Any, count: int, largest: Any, scratch: Any) -> float:
    sum_weights(row, count, largest, scratch.best)
    total = 0.0
    for lane in range(LANES):
        total += float(scratch.best[lane])
    return total


@compiled
def _join(scratch: Any) -> tuple[Any, int]:
    """The largest over the lanes, and its token: the lowest of equals."""
    token: Any
    largest, token = scratch.best[0], np.int64(scratch.where[0])
    for lane in range(1, LANES):
        value, other = scratch.best[lane], np.int64(scratch.where[lane])
        if value > largest or (value == largest and other < token):
            largest, token = value, other
    return largest, token
