"""fp32 and bf16 weights times fp32 activations: for checkpoints that are not quantised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Pointer, emitted

_CHAINS = 4


def pack(weight: NDArray[np.float32], *, narrow: bool) -> NDArray[np.uint8]:
    """Bytes [tiles of 16 outputs, in, 16] in bf16 where `narrow` (rounded to nearest even), else fp32."""
    outputs, inputs = weight.shape
    tiles = -(-outputs // LANES)
    lanes = np.pad(weight, ((0, tiles * LANES - outputs), (0, 0))).reshape(tiles, LANES, inputs).transpose(0, 2, 1)
    lanes = np.ascontiguousarray(lanes, dtype=np.float32)
    return (to_bfloat16(lanes) if narrow else lanes).reshape(-1).view(np.uint8)


def unpack(data: NDArray[np.uint8], outputs: int, inputs: int, *, narrow: bool) -> NDArray[np.float32]:
    """Weights [out, in] of what `pack` gave."""
    lanes = from_bfloat16(data.view(np.uint16)) if narrow else data.view(np.float32)
    return np.ascontiguousarray(lanes.reshape(-1, inputs, LANES).transpose(0, 2, 1)).reshape(-1, inputs)[:outputs]


def from_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The fp32 numbers that upper halves stand for."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(numbers: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of fp32 numbers, rounded to nearest even."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _tile(rows: int, narrow: bool) -> Any:
    """One tile of outputs for so many rows at once, in four chains of sums a row.

    `weights` from byte `at`; activations `x` fp32 [rows, inputs] from row `row`; `out` fp32 [rows, stride] from
    `column`, added to where `add`.
    """

    @emitted
    def tile(
        e: Emitter,
        weights: Pointer,
        at: Index,
        inputs: Index,
        x: Pointer,
        row: Index,
        out: Pointer,
        stride: Index,
        column: Index,
        add: Index,
    ) -> None:
        chains = [[e.variable(e.number(0.0)) for _ in range(_CHAINS)] for _ in range(rows)]
        with e.loop(e.quotient(inputs, _CHAINS)) as step:
            for chain in range(_CHAINS):
                place = e.at((step, _CHAINS), chain)
                start = e.at(at, (place, LANES * (2 if narrow else 4)))
                weight = e.narrow_floats(weights, start) if narrow else e.wide_floats(weights, start)
                for r, sums in enumerate(chains):
                    number = e.splat(e.scalar(x, e.at((e.at(row, r), inputs), place)))
                    sums[chain].set(e.fma(weight, number, sums[chain].get()))
        for r, sums in enumerate(chains):
            first, second, third, fourth = (sum_.get() for sum_ in sums)
            place = e.at((e.at(row, r), stride), column)
            e.store((first + second) + (third + fourth) + e.floats_where(add, out, place), out, place)

    return tile


bf16_1, bf16_4 = _tile(1, True), _tile(4, True)
fp32_1, fp32_4 = _tile(1, False), _tile(4, False)
