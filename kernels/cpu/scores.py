"""Passes over one row of scores, 16 lanes at a time.

Rows are padded to whole lanes with minus infinity. `allowed` has a bit a token, lowest bit first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Lanes, Pointer, emitted
from triroute.kernels.cpu.noise import noise_of

_INFINITY = float("inf")


def _peak(masked: bool) -> Any:
    @emitted
    def peak(e: Emitter, scores: Pointer, allowed: Pointer, count: Index, best: Pointer, where: Pointer) -> None:
        """The first of the largest scores in each of 16 lanes, and its token."""
        largest, found = e.variable(e.number(-_INFINITY)), e.variable(e.whole(0))
        with e.loop(e.quotient(count, LANES)) as step:
            numbers = e.floats(scores, e.at((step, LANES)))
            higher = e.above(numbers, largest.get())
            if masked:
                higher = higher & e.unpacked(allowed, e.at((step, 2)))
            largest.set(e.chosen(higher, numbers, largest.get()))
            found.set(e.chosen(higher, e.word(step), found.get()))
        e.store(largest.get(), best, e.at())
        e.store((found.get() << e.whole(4)) + e.ramp(), where, e.at())

    return peak


def _scale(masked: bool) -> Any:
    @emitted
    def scale(
        e: Emitter,
        scores: Pointer,
        allowed: Pointer,
        count: Index,
        largest: Lanes,
        temperature: Lanes,
        floor: Lanes,
        values: Pointer,
        near: Pointer,
    ) -> None:
        """`values = (scores - largest) / temperature`, and a bit for each above `floor`."""
        top, heat, bound, never = e.splat(largest), e.splat(temperature), e.splat(floor), e.number(-_INFINITY)
        with e.loop(e.quotient(count, LANES)) as step:
            place = e.at((step, LANES))
            value = (e.floats(scores, place) - top) / heat
            if masked:
                value = e.chosen(e.unpacked(allowed, e.at((step, 2))), value, never)
            e.store(value, values, place)
            e.store(e.packed(e.above(value, bound)), near, step)

    return scale


@emitted
def weigh(e: Emitter, values: Pointer, count: Index, largest: Lanes, weights: Pointer) -> None:
    """`weights = exp(values - largest)`."""
    top = e.splat(largest)
    with e.loop(e.quotient(count, LANES)) as step:
        place = e.at((step, LANES))
        e.store(e.exp(e.floats(values, place) - top), weights, place)


@emitted
def sum_weights(e: Emitter, values: Pointer, count: Index, largest: Lanes, sums: Pointer) -> None:
    """The sum of `exp(values - largest)` in each of 16 lanes."""
    top, total = e.splat(largest), e.variable(e.number(0.0))
    with e.loop(e.quotient(count, LANES)) as step:
        total.set(total.get() + e.exp(e.floats(values, e.at((step, LANES))) - top))
    e.store(total.get(), sums, e.at())


@emitted
def noisiest(
    e: Emitter,
    values: Pointer,
    tokens: Pointer,
    count: Index,
    first: Index,
    second: Index,
    best: Pointer,
    where: Pointer,
) -> None:
    """The first of the largest `values + noise` in each of 16 lanes, and its token."""
    largest, found = e.variable(e.number(-_INFINITY)), e.variable(e.whole(0))
    with e.loop(e.quotient(count, LANES)) as step:
        place = e.at((step, LANES))
        named = e.words(tokens, place)
        noisy = e.floats(values, place) + noise_of(e, named, first, second)
        higher = e.above(noisy, largest.get())
        largest.set(e.chosen(higher, noisy, largest.get()))
        found.set(e.chosen(higher, named, found.get()))
    e.store(largest.get(), best, e.at())
    e.store(found.get(), where, e.at())


peak_all, peak_allowed = _peak(False), _peak(True)
scale_all, scale_allowed = _scale(False), _scale(True)


@compiled
def penalize(row: Any, tokens: Any, counts: Any, count: int, repetition: Any, presence: Any, frequency: Any) -> None:
    """Lower the scores of tokens seen, in place; `counts` of each in the output, 0 for those of the prompt alone."""
    for i in range(count):
        score = row[tokens[i]]
        score = score / repetition if score > 0 else score * repetition
        if counts[i] > 0:
            score -= presence + frequency * np.float32(counts[i])
        row[tokens[i]] = score
