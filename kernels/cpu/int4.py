"""Affine int4 weights times int8 activations, both in blocks of 32 along the inputs.

A weight is `q * scale + minimum` with q in 0..15 (ggml's Q4_1), an activation `unit * a` with |a| at most 127. Products
of a block are whole numbers, so exact; blocks add up in fp32, first to last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.lanes import LANES, LINE, WORD, WORDS, Emitter, Index, Pointer, emitted

BLOCK = 32
_QUANT_BYTES = BLOCK * LANES // 2
TILE_BLOCK_BYTES = _QUANT_BYTES + 2 * 2 * LANES
_MEMORY_BOUND = 4  # tiles of up to so many rows wait for weights, not for arithmetic
_AHEAD = 16  # blocks; measured: 8% less for one row and 10% for four, and no more from 32


def pack(quants: NDArray[np.uint8], scale: NDArray[np.float32], minimum: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bytes [tiles of 16 outputs, blocks, 320], from quants [out, in] in 0..15 and scale, minimum [out, in/32].

    A block of a tile holds 4 x 16 lanes of 4 bytes (an output's four inputs in the low halves of the bytes, its
    next four in the high halves), then 16 scales and 16 minima in fp16.
    """
    outputs, inputs = quants.shape
    tiles, blocks = -(-outputs // LANES), inputs // BLOCK
    padding = ((0, tiles * LANES - outputs), (0, 0))
    quads = np.pad(quants, padding).reshape(tiles, LANES, blocks, 4, 2, 4).transpose(0, 2, 3, 4, 1, 5)
    packed = np.empty((tiles, blocks, TILE_BLOCK_BYTES), dtype=np.uint8)
    packed[..., :_QUANT_BYTES] = (quads[:, :, :, 0] | quads[:, :, :, 1] << 4).reshape(tiles, blocks, _QUANT_BYTES)
    ends = np.stack([np.pad(scale, padding), np.pad(minimum, padding)])
    ends = ends.reshape(2, tiles, LANES, blocks).transpose(1, 3, 0, 2).astype(np.float16)
    packed[..., _QUANT_BYTES:] = np.ascontiguousarray(ends).view(np.uint8).reshape(tiles, blocks, -1)
    return packed.reshape(-1)


def unpack(data: NDArray[np.uint8], outputs: int, inputs: int) -> NDArray[np.float32]:
    """Weights [out, in] of what `pack` gave."""
    tiles, blocks = -(-outputs // LANES), inputs // BLOCK
    packed = data.reshape(tiles, blocks, TILE_BLOCK_BYTES)
    quads = packed[..., :_QUANT_BYTES].reshape(tiles, blocks, 4, LANES, 4)
    quants = np.stack([quads & 15, quads >> 4], axis=3).transpose(0, 4, 1, 2, 3, 5).reshape(-1, blocks, BLOCK)
    ends = np.ascontiguousarray(packed[..., _QUANT_BYTES:]).view(np.float16).reshape(tiles, blocks, 2, LANES)
    scale, minimum = ends.astype(np.float32).transpose(2, 0, 3, 1).reshape(2, -1, blocks, 1)
    return (quants * scale + minimum).reshape(-1, inputs)[:outputs]


def _tile(rows: int) -> Any:
    """One tile of outputs for so many rows at once.

    `weights` from byte `at`; activations `quants` int8 [rows, inputs], their `units` [rows, blocks, 2] (unit, unit
    times the block's sum), both from row `row`; `out` fp32 [rows, stride] from `column`, added to where `add`.
    """

    @emitted
    def tile(
        e: Emitter,
        weights: Pointer,
        at: Index,
        blocks: Index,
        quants: Pointer,
        units: Pointer,
        row: Index,
        out: Pointer,
        stride: Index,
        column: Index,
        add: Index,
    ) -> None:
        places = [e.at((e.at(row, r), stride), column) for r in range(rows)]
        totals = [e.variable(e.floats_where(add, out, place)) for place in places]
        with e.loop(blocks) as block:
            start = e.at(at, (block, TILE_BLOCK_BYTES))
            packed = [e.load(weights, e.at(start, 4 * LANES * quad), WORDS) for quad in range(4)]
            if rows <= _MEMORY_BOUND:
                for line in range(TILE_BLOCK_BYTES // LINE):
                    e.prefetch(weights, e.at(start, _AHEAD * TILE_BLOCK_BYTES + LINE * line))
            low = e.whole(0x0F0F0F0F)
            digits = [part for both in packed for part in (both & low, (both >> e.whole(4)) & low)]
            scale = e.float16s(weights, e.at(start, _QUANT_BYTES))
            minimum = e.float16s(weights, e.at(start, _QUANT_BYTES + 2 * LANES))
            for r, total in enumerate(totals):
                first = e.at((e.at((e.at(row, r), blocks), block), BLOCK))
                whole = e.whole(0)
                for quad, digit in enumerate(digits):
                    whole = e.dot4(whole, digit, e.splat(e.load(quants, e.at(first, 4 * quad), WORD)))
                pair = e.at((e.at((e.at(row, r), blocks), block), 2))
                unit, weighted = (e.splat(e.scalar(units, e.at(pair, part))) for part in range(2))
                sum_ = e.fma(e.to_floats(whole), scale * unit, total.get())
                total.set(e.fma(minimum, weighted, sum_))
        for place, total in zip(places, totals, strict=True):
            e.store(total.get(), out, place)

    return tile


tile_1, tile_2, tile_4, tile_8 = (_tile(rows) for rows in (1, 2, 4, 8))


@emitted
def quantize(e: Emitter, x: Pointer, at: Index, quants: Pointer, to: Index, units: Pointer, pair: Index) -> None:
    """A block: 32 fp32 numbers from `x` at `at` become int8 at `to`, and (unit, unit * sum) at `pair`."""
    halves = [e.floats(x, e.at(at, LANES * half)) for half in range(2)]
    largest = e.folded(e.maximum(*(e.magnitude(half) for half in halves)), e.maximum)
    unit = e.maximum(e.splat(largest) / e.number(127.0), e.number(1e-30))
    digits = [e.to_words(e.rounded(half / unit)) for half in halves]
    for half, digit in enumerate(digits):
        e.store(e.to_bytes(digit), quants, e.at(to, LANES * half))
    sum_ = e.splat(e.folded(digits[0] + digits[1], lambda left, right: left + right))
    for part, lanes in enumerate((unit, unit * e.to_floats(sum_))):
        e.store(e.first(lanes), units, e.at(pair, part))
