"""Linear layers of four kinds behind one product: `x` [rows, in] to [rows, out], each row by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu import dense, int4, int8
from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES

_ALIGNMENT = 64


class Kind(IntEnum):
    """How weights are stored, and so what their activations become."""

    INT4 = 0
    INT8 = 1
    BF16 = 2
    FP32 = 3


@dataclass(frozen=True, slots=True)
class Linear:
    """A packed weight [out, in]."""

    kind: Kind
    outputs: int
    inputs: int
    data: NDArray[np.uint8]

    @classmethod
    def int4(cls, quants: NDArray[np.uint8], scale: NDArray[np.float32], minimum: NDArray[np.float32]) -> Linear:
        """From quants [out, in] in 0..15 and scale, minimum [out, in/32], where a weight is `q * scale + minimum`."""
        return cls(Kind.INT4, len(quants), quants.shape[1], int4.pack(quants, scale, minimum))

    @classmethod
    def int8(cls, weight: NDArray[np.float32]) -> Linear:
        """From weights [out, in], to the nearest of 255 levels an output."""
        return cls(Kind.INT8, len(weight), weight.shape[1], int8.pack(weight))

    @classmethod
    def stacked(cls, parts: Iterable[Linear]) -> Linear:
        """Layers of one kind as one; all but the last have outputs in multiples of 16."""
        layers = list(parts)
        data = np.concatenate([layer.data for layer in layers])
        return cls(layers[0].kind, sum(layer.outputs for layer in layers), layers[0].inputs, data)

    @classmethod
    def dense(cls, weight: NDArray[np.float32], *, narrow: bool) -> Linear:
        """From weights [out, in], kept in bf16 where `narrow`, else in fp32."""
        return cls(Kind.BF16 if narrow else Kind.FP32, len(weight), weight.shape[1], dense.pack(weight, narrow=narrow))

    def floats(self) -> NDArray[np.float32]:
        """The weights [out, in] that the kernels multiply by."""
        if self.kind is Kind.INT4:
            return int4.unpack(self.data, self.outputs, self.inputs)
        if self.kind is Kind.INT8:
            return int8.unpack(self.data, self.outputs, self.inputs)
        return dense.unpack(self.data, self.outputs, self.inputs, narrow=self.kind is Kind.BF16)


class Arena(NamedTuple):
    """Many layers in one buffer. `table` int64 [layers, 4]: kind, first byte, outputs, inputs."""

    data: NDArray[np.uint8]
    table: NDArray[np.int64]

    @classmethod
    def of(cls, layers: Sequence[Linear]) -> Arena:
        """Copy the layers into one buffer, aligned to cache lines."""
        sizes = [-(-len(layer.data) // _ALIGNMENT) * _ALIGNMENT for layer in layers]
        starts = np.cumsum([0, *sizes])
        buffer = np.empty(starts[-1] + _ALIGNMENT, dtype=np.uint8)
        skip = -buffer.ctypes.data % _ALIGNMENT
        data = buffer[skip : skip + int(starts[-1])]
        for layer, start in zip(layers, starts, strict=False):
            data[start : start + len(layer.data)] = layer.data
        rows = [(layer.kind, start, layer.outputs, layer.inputs) for layer, start in zip(layers, starts, strict=False)]
        return cls(data, np.array(rows, dtype=np.int64))


class Activations(NamedTuple):
    """Rows as a product wants them. `raw` fp32 [rows, width]; the others are filled by `prepare`."""

    raw: NDArray[np.float32]
    quants: NDArray[np.int8]
    units: NDArray[np.float32]
    digits: NDArray[np.uint8]
    scales: NDArray[np.float32]

    @classmethod
    def room(cls, rows: int, width: int) -> Activations:
        """For rows of up to `width` numbers; rows of fewer lie closer together."""
        return cls(
            np.zeros((rows, width), dtype=np.float32),
            np.zeros((rows, width), dtype=np.int8),
            np.zeros((rows, width // int4.BLOCK, 2), dtype=np.float32),
            np.zeros((rows, 2, width), dtype=np.uint8),
            np.zeros(rows, dtype=np.float32),
        )


@compiled
def prepare(arena: Any, index: int, activations: Any, row: int, first: int, last: int) -> None:
    """Make blocks `first` to `last` (of 32 inputs) of a raw row fit layer `index`. int8 takes whole rows."""
    kind, inputs = arena.table[index, 0], arena.table[index, 3]
    if kind == 0:
        blocks = inputs // int4.BLOCK
        for block in range(first, last):
            place = row * blocks + block
            int4.quantize(
                activations.raw,
                place * int4.BLOCK,
                activations.quants,
                place * int4.BLOCK,
                activations.units,
                place * 2,
            )
    elif kind == 1:
        int8.split(activations.raw, row * inputs, inputs, activations.digits, activations.scales, row)


@compiled
def share(items: int, thread: int, threads: int) -> tuple[int, int]:
    """The first of a thread's part of so many items, and the end of it."""
    return items * thread // threads, items * (thread + 1) // threads


@compiled
def multiply(
    arena: Any, index: int, activations: Any, rows: int, out: Any, stride: int, add: int, first: int, last: int
) -> None:
    """Tiles `first` to `last` (of 16 outputs) of layer `index`: `out` fp32 [rows, stride], added to where `add`."""
    kind, start, inputs = arena.table[index, 0], arena.table[index, 1], arena.table[index, 3]
    for tile in range(first, last):
        if kind == 0:
            _int4_tile(arena.data, start, tile, inputs, activations, rows, out, stride, add)
        elif kind == 1:
            _int8_tile(arena.data, start, tile, inputs, activations, rows, out, stride)
        elif kind == 2:
            _bf16_tile(arena.data, start, tile, inputs, activations, rows, out, stride, add)
        else:
            _fp32_tile(arena.data, start, tile, inputs, activations, rows, out, stride, add)


@compiled
def _int4_tile(
    data: Any, start: int, tile: int, inputs: int, x: Any, rows: int, out: Any, stride: int, add: int
) -> None:
    blocks = inputs // int4.BLOCK
    at, column, row = start + tile * blocks * int4.TILE_BLOCK_BYTES, tile * LANES, 0
    while rows - row >= 8:
        int4.tile_8(data, at, blocks, x.quants, x.units, row, out, stride, column, add)
        row += 8
    if rows - row >= 4:
        int4.tile_4(data, at, blocks, x.quants, x.units, row, out, stride, column, add)
        row += 4
    if rows - row >= 2:
        int4.tile_2(data, at, blocks, x.quants, x.units, row, out, stride, column, add)
        row += 2
    if rows - row >= 1:
        int4.tile_1(data, at, blocks, x.quants, x.units, row, out, stride, column, add)


@compiled
def _int8_tile(data: Any, start: int, tile: int, inputs: int, x: Any, rows: int, out: Any, stride: int) -> None:
    at, column, row = start + tile * (inputs // 4 * int8.QUAD_BYTES + int8.TAIL_BYTES), tile * LANES, 0
    while rows - row >= 8:
        int8.tile_8(data, at, inputs, x.digits, x.scales, row, out, stride, column)
        row += 8
    if rows - row >= 4:
        int8.tile_4(data, at, inputs, x.digits, x.scales, row, out, stride, column)
        row += 4
    if rows - row >= 2:
        int8.tile_2(data, at, inputs, x.digits, x.scales, row, out, stride, column)
        row += 2
    if rows - row >= 1:
        int8.tile_1(data, at, inputs, x.digits, x.scales, row, out, stride, column)


@compiled
def _bf16_tile(
    data: Any, start: int, tile: int, inputs: int, x: Any, rows: int, out: Any, stride: int, add: int
) -> None:
    at, column, row = start + tile * inputs * LANES * 2, tile * LANES, 0
    while rows - row >= 4:
        dense.bf16_4(data, at, inputs, x.raw, row, out, stride, column, add)
        row += 4
    while rows - row >= 1:
        dense.bf16_1(data, at, inputs, x.raw, row, out, stride, column, add)
        row += 1


@compiled
def _fp32_tile(
    data: Any, start: int, tile: int, inputs: int, x: Any, rows: int, out: Any, stride: int, add: int
) -> None:
    at, column, row = start + tile * inputs * LANES * 4, tile * LANES, 0
    while rows - row >= 4:
        dense.fp32_4(data, at, inputs, x.raw, row, out, stride, column, add)
        row += 4
    while rows - row >= 1:
        dense.fp32_1(data, at, inputs, x.raw, row, out, stride, column, add)
        row += 1
