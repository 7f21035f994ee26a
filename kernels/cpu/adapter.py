"""A low-rank addition to linear layers that only some rows get: `y += b (a x)` (Hu et al., arXiv:2106.09685)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Pointer, emitted


class Adapter(NamedTuple):
    """The additions of all layers in one buffer.

    `data` is bf16 kept as uint16. `table` int64 [linears, 3]: rank (0 for a layer without an addition), and
    where its `a` [rank, inputs] and its transposed `b` [rank, outputs] begin. `rank` is the largest.
    """

    data: NDArray[np.uint16]
    table: NDArray[np.int64]
    rank: int

    @classmethod
    def none(cls, linears: int) -> Adapter:
        """For a model without one."""
        return cls(np.zeros(LANES, dtype=np.uint16), np.zeros((linears, 3), dtype=np.int64), 0)

    @classmethod
    def of(cls, pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]] | None]) -> Adapter:
        """From `a` [rank, inputs] and `b` [outputs, rank] of each linear layer, or None. Sizes are multiples of 16."""
        parts: list[NDArray[np.uint16]] = []
        table = np.zeros((len(pairs), 3), dtype=np.int64)
        end = 0
        for index, pair in enumerate(pairs):
            if pair is None:
                continue
            down, up = to_bfloat16(pair[0]), to_bfloat16(np.ascontiguousarray(pair[1].T))
            table[index] = len(down), end, end + down.size
            parts += [down.reshape(-1), up.reshape(-1)]
            end += down.size + up.size
        data = np.concatenate([*parts, np.zeros(LANES, dtype=np.uint16)])
        return cls(data, table, int(table[:, 0].max()))


@emitted
def squeeze(
    e: Emitter, data: Pointer, at: Index, rank: Index, x: Pointer, place: Index, inputs: Index, low: Pointer, to: Index
) -> None:
    """`a x`: `rank` numbers to `low`, from `inputs` numbers of `x`."""
    total = e.variable(e.number(0.0))
    with e.loop(rank) as row:
        total.set(e.number(0.0))
        with e.loop(e.quotient(inputs, LANES)) as step:
            weights = e.floats(data, e.at(at, (row, inputs), (step, LANES)))
            total.set(e.fma(weights, e.floats(x, e.at(place, (step, LANES))), total.get()))
        e.store(e.folded(total.get(), lambda left, right: left + right), low, e.at(to, row))


@emitted
def lift(
    e: Emitter,
    data: Pointer,
    at: Index,
    rank: Index,
    outputs: Index,
    low: Pointer,
    start: Index,
    out: Pointer,
    to: Index,
) -> None:
    """16 lanes of `b`, from `at`, times `rank` numbers of `low`, added to `out`."""
    sum_ = e.variable(e.floats(out, to))
    with e.loop(rank) as row:
        number = e.splat(e.scalar(low, e.at(start, row)))
        sum_.set(e.fma(e.floats(data, e.at(at, (row, outputs))), number, sum_.get()))
    e.store(sum_.get(), out, to)


@compiled
def adapt(
    adapter: Any,
    index: int,
    tokens: Any,
    adapted: int,
    x: Any,
    inputs: int,
    outputs: int,
    low: Any,
    out: Any,
    stride: int,
    first: int,
    last: int,
    pair: int,
    thread: int,
) -> None:
    """Tiles `first` to `last` (of 16 outputs) of layer `index`, for the rows whose token is `adapted`.

    With `pair`, also the tiles that lie so many further. `x` fp32 [rows, inputs] flat, `out` fp32 [rows, stride] flat;
    `low` fp32 [threads, rank] is scratch.
    """
    rank, down, up = adapter.table[index, 0], adapter.table[index, 1], adapter.table[index, 2]
    if rank == 0:
        return
    start, flat = thread * low.shape[1], low.reshape(-1)
    for row in range(len(tokens)):
        if tokens[row] == adapted:
            squeeze(adapter.data, down, rank, x, row * inputs, inputs, flat, start)
            for tile in range(first, last):
                column = tile * LANES
                lift(adapter.data, up + column, rank, outputs, flat, start, out, row * stride + column)
                if pair > 0:
                    column += pair * LANES
                    lift(adapter.data, up + column, rank, outputs, flat, start, out, row * stride + column)
