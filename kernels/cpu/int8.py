"""int8 weights, one scale an output, times activations in two int8 digits: for the scores, which deserve 15 bits.

An activation is `unit * (high + low / 254)` with whole digits of at most 127. Sums of products are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.lanes import FLOATS, LANES, WORD, WORDS, Emitter, Index, Pointer, emitted

QUAD_BYTES = 4 * LANES
TAIL_BYTES = 2 * 4 * LANES
_OFFSET, _LOW_STEPS = 128, 254


def pack(weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bytes [tiles of 16 outputs, in/4 * 64 + 128], from weights [out, in], to the nearest of 255 levels an output.

    After a tile's quants come its 16 scales (fp32) and 16 sums of quants times 128 (int32).
    """
    outputs, inputs = weight.shape
    tiles = -(-outputs // LANES)
    weight = np.pad(weight, ((0, tiles * LANES - outputs), (0, 0)))
    scale = np.maximum(np.abs(weight).max(axis=1), np.float32(1e-12)) / np.float32(127)
    quants = np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8)
    sums = quants.sum(axis=1, dtype=np.int32) * np.int32(_OFFSET)
    quads = quants.reshape(tiles, LANES, inputs // 4, 4).transpose(0, 2, 1, 3).reshape(tiles, -1)
    tails = [part.reshape(tiles, LANES).view(np.uint8) for part in (scale.astype(np.float32), sums)]
    return np.concatenate([np.ascontiguousarray(quads).view(np.uint8), *tails], axis=1).reshape(-1)


def unpack(data: NDArray[np.uint8], outputs: int, inputs: int) -> NDArray[np.float32]:
    """Weights [out, in] of what `pack` gave."""
    rows = data.reshape(-(-outputs // LANES), inputs * LANES + TAIL_BYTES)
    quads = np.ascontiguousarray(rows[:, : inputs * LANES]).view(np.int8).reshape(len(rows), inputs // 4, LANES, 4)
    scale = np.ascontiguousarray(rows[:, inputs * LANES :][:, : 4 * LANES]).view(np.float32).reshape(-1, 1)
    weight: NDArray[np.float32] = quads.transpose(0, 2, 1, 3).reshape(-1, inputs) * scale
    return weight[:outputs]


def _tile(rows: int) -> Any:
    """One tile of outputs for so many rows at once.

    `weights` from byte `at`; activations `digits` uint8 [rows, 2 (high, low), inputs] offset by 128 and their
    `units` fp32 [rows], from row `row`; `out` fp32 [rows, stride] from `column`.
    """

    @emitted
    def tile(
        e: Emitter,
        weights: Pointer,
        at: Index,
        inputs: Index,
        digits: Pointer,
        units: Pointer,
        row: Index,
        out: Pointer,
        stride: Index,
        column: Index,
    ) -> None:
        totals = [[e.variable(e.whole(0)) for _ in range(2)] for _ in range(rows)]
        with e.loop(e.quotient(inputs, 4)) as quad:
            quants = e.load(weights, e.at(at, (quad, QUAD_BYTES)), WORDS)
            for r, pair in enumerate(totals):
                for part, total in enumerate(pair):
                    place = e.at((e.at((e.at(row, r), 2), part), inputs), (quad, 4))
                    total.set(e.dot4(total.get(), e.splat(e.load(digits, place, WORD)), quants))
        tail = e.at(at, (e.quotient(inputs, 4), QUAD_BYTES))
        scale, offset = e.load(weights, tail, FLOATS), e.load(weights, e.at(tail, 4 * LANES), WORDS)
        for r, (high, low) in enumerate(totals):
            digit = e.to_floats(low.get() - offset)
            whole = e.fma(digit, e.number(1 / _LOW_STEPS), e.to_floats(high.get() - offset))
            unit = e.splat(e.scalar(units, e.at(row, r)))
            e.store(whole * unit * scale, out, e.at((e.at(row, r), stride), column))

    return tile


tile_1, tile_2, tile_4, tile_8 = (_tile(rows) for rows in (1, 2, 4, 8))


@emitted
def split(e: Emitter, x: Pointer, at: Index, count: Index, digits: Pointer, units: Pointer, row: Index) -> None:
    """A row of `count` fp32 numbers becomes two rows of digits and a unit."""
    largest = e.variable(e.number(0.0))
    with e.loop(e.quotient(count, LANES)) as step:
        largest.set(e.maximum(largest.get(), e.magnitude(e.floats(x, e.at(at, (step, LANES))))))
    unit = e.maximum(e.splat(e.folded(largest.get(), e.maximum)) / e.number(127.0), e.number(1e-30))
    e.store(e.first(unit), units, row)
    start = e.at((row, e.at((count, 2))))
    with e.loop(e.quotient(count, LANES)) as step:
        exact = e.floats(x, e.at(at, (step, LANES))) / unit
        high = e.rounded(exact)
        low = e.rounded((exact - high) * e.number(_LOW_STEPS))
        for part, digit in enumerate((high, low)):
            whole = e.to_bytes(e.to_words(digit) + e.whole(_OFFSET))
            e.store(whole, digits, e.at(start, (count, part), (step, LANES)))
