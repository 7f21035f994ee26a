"""A whole pass of a Llama-family transformer, run by a team of threads that meet between its phases."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.adapter import Adapter, adapt
from triroute.kernels.cpu.attention import PAGE, attend
from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.linear import Activations, Arena, multiply, prepare
from triroute.kernels.cpu.rows import gate, keep, normalize, rotate, widen
from triroute.kernels.cpu.team import meet

_BLOCK = 32
_FEW = 2
_LINEARS = 4  # qkv, out, gate_up, down; the head comes after all layers


class Shape(NamedTuple):
    """Sizes; `hidden` and `intermediate` are multiples of 32, `head_dim` of 16."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    eps: float


class Parameters(NamedTuple):
    """`linears` holds qkv, out, gate_up, down of every layer, then the head. `norms` fp32 [2 * layers + 1, hidden].

    `adapter` adds to the first four for rows of token `vocab`, the mask. `embedding` [vocab + 1, hidden] and the cache
    are fp32, or bf16 kept as uint16; `cosine` and `sine` are fp32 [positions, head_dim / 2].
    """

    linears: Arena
    norms: NDArray[np.float32]
    embedding: NDArray[Any]
    cosine: NDArray[np.float32]
    sine: NDArray[np.float32]
    adapter: Adapter


class Rows(NamedTuple):
    """What runs, int64 [rows] but where said.

    A row's key and value are written to `slots`, at the angle of `positions`; it sees the slots below `counts`, but
    those that `hidden` (bytes) names from `hidden_at` on, counted from `hidden_from`; -1 hides none. `owners` are rows
    of `pages` [sequences, pages], which tell where in the cache a sequence's slots lie.
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    slots: NDArray[np.int64]
    counts: NDArray[np.int64]
    owners: NDArray[np.int64]
    pages: NDArray[np.int64]
    hidden: NDArray[np.uint8]
    hidden_at: NDArray[np.int64]
    hidden_from: NDArray[np.int64]


class Room(NamedTuple):
    """Scratch of a pass: residual stream, wide products, prepared rows, attention scores of each thread."""

    stream: NDArray[np.float32]
    wide: NDArray[np.float32]
    activations: Activations
    scores: NDArray[np.float32]
    low: NDArray[np.float32]

    @classmethod
    def of(cls, shape: Shape, rows: int, keys: int, threads: int, rank: int) -> Room:
        """For passes of up to so many rows, each seeing up to `keys` keys, with an adapter of such a rank."""
        qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        width = max(shape.hidden, shape.intermediate, shape.heads * shape.head_dim)
        padded = -(-keys // PAGE) * PAGE
        return cls(
            np.zeros((rows, shape.hidden), dtype=np.float32),
            np.zeros((rows, max(qkv, 2 * shape.intermediate)), dtype=np.float32),
            Activations.room(rows, width),
            np.zeros((threads, 4, padded), dtype=np.float32),
            np.zeros((threads, max(rank, 1)), dtype=np.float32),
        )


@compiled
def run_pass(
    thread: int,
    threads: int,
    counter: Any,
    met: int,
    shape: Any,
    parameters: Any,
    rows: Any,
    storage: Any,
    room: Any,
    asked: Any,
    scores: Any,
) -> int:
    """Run `rows` through all layers, writing the cache, and the `asked` rows through the head.

    `storage` is flat [pages, layers, kv_heads, 2, PAGE * head_dim]; `scores` fp32 [asked, vocab rounded up to 16].
    All threads call this at once; returns what `counter` came to.
    """
    count, linears, stream = len(rows.tokens), parameters.linears, room.stream
    # A few rows are prepared by every thread for itself: that costs less than to meet.
    alone = count <= _FEW
    own, step = (0, 1) if alone else (thread, threads)
    x, wide = room.activations, room.wide
    hidden, inner, group = shape.hidden, shape.intermediate, shape.heads // shape.kv_heads
    qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    flat, residual = wide.reshape(-1), stream.reshape(-1)
    products = flat[: count * qkv].reshape((count, qkv))
    for row in range(own, count, step):
        widen(parameters.embedding, rows.tokens[row] * hidden, hidden, stream, row * hidden)
    for layer in range(shape.layers):
        first = layer * _LINEARS
        for row in range(own, count, step):
            normalize(
                stream, row * hidden, parameters.norms, 2 * layer * hidden, hidden, shape.eps, x.raw, row * hidden
            )
            prepare(linears, first, x, row, 0, hidden // _BLOCK)
        if not alone:
            met += threads
            meet(counter, met)

        multiply(linears, first, x, count, flat, qkv, 0, thread, threads)
        _adapt(shape, parameters, rows, room, first, hidden, qkv, flat, qkv, thread, threads)
        met += threads
        meet(counter, met)

        for row in range(thread, count, threads):
            _turn_and_store(shape, parameters, rows, storage, products, layer, row)
        met += threads
        meet(counter, met)

        bundle = min(group, 4) if count * shape.kv_heads >= 2 * threads else 1
        bundles = (group + bundle - 1) // bundle
        for item in range(thread, count * shape.kv_heads * bundles, threads):
            row, part = item // (shape.kv_heads * bundles), item % (shape.kv_heads * bundles)
            _attend(
                shape,
                rows,
                storage,
                flat,
                qkv,
                room.scores,
                x.raw,
                layer,
                row,
                part // bundles,
                part % bundles,
                bundle,
                thread,
            )
        met += threads
        meet(counter, met)

        for row in range(own, count, step):
            prepare(linears, first + 1, x, row, 0, shape.heads * shape.head_dim // _BLOCK)
        if not alone:
            met += threads
            meet(counter, met)

        multiply(linears, first + 1, x, count, stream, hidden, 1, thread, threads)
        heads = shape.heads * shape.head_dim
        _adapt(shape, parameters, rows, room, first + 1, heads, hidden, residual, hidden, thread, threads)
        met += threads
        meet(counter, met)

        for row in range(own, count, step):
            start = (2 * layer + 1) * hidden
            normalize(stream, row * hidden, parameters.norms, start, hidden, shape.eps, x.raw, row * hidden)
            prepare(linears, first + 2, x, row, 0, hidden // _BLOCK)
        if not alone:
            met += threads
            meet(counter, met)

        multiply(linears, first + 2, x, count, flat, 2 * inner, 0, thread, threads)
        _adapt(shape, parameters, rows, room, first + 2, hidden, 2 * inner, flat, 2 * inner, thread, threads)
        met += threads
        meet(counter, met)

        blocks = inner // _BLOCK
        for item in range(thread, count * blocks, threads):
            row, block = item // blocks, item % blocks
            gated, to = row * 2 * inner + block * _BLOCK, row * inner + block * _BLOCK
            for half in range(0, _BLOCK, 16):
                gate(flat, gated + half, gated + inner + half, x.raw, to + half)
            prepare(linears, first + 3, x, row, block, block + 1)
        met += threads
        meet(counter, met)

        multiply(linears, first + 3, x, count, stream, hidden, 1, thread, threads)
        _adapt(shape, parameters, rows, room, first + 3, inner, hidden, residual, hidden, thread, threads)
        met += threads
        meet(counter, met)

    head, last = shape.layers * _LINEARS, 2 * shape.layers * hidden
    for index in range(thread, len(asked), threads):
        normalize(stream, asked[index] * hidden, parameters.norms, last, hidden, shape.eps, x.raw, index * hidden)
        prepare(linears, head, x, index, 0, hidden // _BLOCK)
    met += threads
    meet(counter, met)

    multiply(linears, head, x, len(asked), scores, scores.shape[1], 0, thread, threads)
    met += threads
    meet(counter, met)
    return met


@compiled
def _adapt(
    shape: Any,
    parameters: Any,
    rows: Any,
    room: Any,
    index: int,
    inputs: int,
    outputs: int,
    out: Any,
    stride: int,
    thread: int,
    threads: int,
) -> None:
    """Add the adapter's part of layer `index` to the rows of mask tokens."""
    x = room.activations.raw.reshape(-1)
    adapt(
        parameters.adapter, index, rows.tokens, shape.vocab, x, inputs, outputs, room.low, out, stride, thread, threads
    )


@compiled
def _turn_and_store(shape: Any, parameters: Any, rows: Any, storage: Any, products: Any, layer: int, row: int) -> None:
    """Turn a row's queries (and scale them) and keys in place; write keys and values to the cache."""
    dim, heads, kv_heads = shape.head_dim, shape.heads, shape.kv_heads
    position, slot = rows.positions[row], rows.slots[row]
    page, offset = rows.pages[rows.owners[row], slot // PAGE], slot % PAGE
    for head in range(heads):
        scale = np.float32(1.0) / np.float32(np.sqrt(np.float32(dim)))
        rotate(products, row, head * dim, parameters.cosine, parameters.sine, position, scale)
    for head in range(kv_heads):
        column = (heads + head) * dim
        rotate(products, row, column, parameters.cosine, parameters.sine, position, np.float32(1.0))
        at = _place(shape, layer, page, head)
        for i in range(dim):
            keep(storage, at + i * PAGE + offset, products[row, column + i])
            keep(storage, at + PAGE * dim + offset * dim + i, products[row, column + kv_heads * dim + i])


@compiled
def _attend(
    shape: Any,
    rows: Any,
    storage: Any,
    flat: Any,
    stride: int,
    scores: Any,
    out: Any,
    layer: int,
    row: int,
    kv_head: int,
    part: int,
    bundle: int,
    thread: int,
) -> None:
    """Query heads `part * bundle` and after, of one key-value head."""
    dim, group = shape.head_dim, shape.heads // shape.kv_heads
    heads, first = min(bundle, group - part * bundle), kv_head * group + part * bundle
    page_stride = shape.layers * shape.kv_heads * 2 * PAGE * dim
    attend(
        storage,
        _place(shape, layer, 0, kv_head),
        rows.pages.reshape(-1),
        rows.owners[row] * rows.pages.shape[1],
        page_stride,
        rows.counts[row],
        heads,
        dim,
        flat,
        row * stride + first * dim,
        rows.hidden,
        rows.hidden_at[row],
        rows.hidden_from[row],
        scores.reshape(-1),
        thread * 4 * scores.shape[2],
        scores.shape[2],
        out,
        row * shape.heads * dim + first * dim,
    )


@compiled
def _place(shape: Any, layer: int, page: int, kv_head: int) -> int:
    """Where the keys of a page begin."""
    at: int = ((page * shape.layers + layer) * shape.kv_heads + kv_head) * 2 * PAGE * shape.head_dim
    return at
