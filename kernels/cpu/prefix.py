"""The likeliest tokens of a list, without sorting it: a threshold is found digit by digit.

A list is `values` (fp32, at most 0) and `tokens` (int32, ascending). Its order is by value, largest first, and by
token among equals; every filter keeps a prefix of that order. Masses are whole numbers, so that no sum is rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from triroute.kernels.cpu.compiled import compiled

BINS = 1024
UNIT = 2.0**36
"""The mass of a token as likely as the likeliest."""
_STEEP, _LAST = np.float32(32), np.float32(BINS - 1)


@compiled
def cut(values: Any, tokens: Any, weights: Any, count: int, by_weight: bool, need: int, bins: Any, places: Any) -> int:
    """Keep, in place, each token for which the mass of those before it is under `need`; returns how many.

    A token's mass is its weight in units, or 1 without `by_weight`. `bins` is room for BINS numbers (int64), `places`
    for `count` (int32).
    """
    bins[:] = 0
    for i in range(count):
        bins[_bin(values[i])] += _mass(weights, i, by_weight)
    before, edge = 0, 0
    while edge < BINS and before + bins[edge] < need:
        before += bins[edge]
        edge += 1
    if edge == BINS:
        return count
    close = 0
    for i in range(count):
        places[close] = i
        close += _bin(values[i]) == edge
    keys = values.view(np.uint32)
    threshold, before = _threshold(keys, weights, places, close, by_weight, need, before, bins)
    kept = 0
    for i in range(count):
        key = np.int64(keys[i] & 0x7FFFFFFF)
        tied = key == threshold
        values[kept], tokens[kept], weights[kept] = values[i], tokens[i], weights[i]
        kept += key < threshold or (tied and before < need)
        if tied:
            before += _mass(weights, i, by_weight)
    return kept


@compiled
def _threshold(
    keys: Any, weights: Any, places: Any, count: int, by_weight: bool, need: int, before: int, bins: Any
) -> tuple[int, int]:
    """The key at which the mass reaches `need`, eight bits at a time, and the mass of all smaller ones.

    A key is a value's bits without the sign: the smaller, the likelier. `before` is the mass before `places`.
    """
    threshold = 0
    for digit in range(4):
        shift = 24 - 8 * digit
        bins[:256] = 0
        for j in range(count):
            key = np.int64(keys[places[j]] & 0x7FFFFFFF)
            if key >> (shift + 8) == threshold:
                bins[(key >> shift) & 255] += _mass(weights, places[j], by_weight)
        here = 0
        while before + bins[here] < need:
            before += bins[here]
            here += 1
        threshold = threshold << 8 | here
    return threshold, before


@compiled
def _bin(value: Any) -> int:
    """Which of BINS equal steps a value lies in; the last takes the rest."""
    return int(min(-value * _STEEP, _LAST))


@compiled
def _mass(weights: Any, place: int, by_weight: bool) -> Any:
    return np.int64(weights[place] * UNIT) if by_weight else 1
