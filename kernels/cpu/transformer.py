"""A whole pass of a Llama-family transformer, run by a team of threads that meet between its phases."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.adapter import Adapter, adapt
from triroute.kernels.cpu.attention import PAGE, attend
from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.linear import Activations, Arena, multiply, prepare, share
from triroute.kernels.cpu.rows import gate, keep, normalize, rotate, widen
from triroute.kernels.cpu.team import meet, stand_by

_BLOCK = 32
_TILES = _BLOCK // LANES
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
    """What runs: room for many rows, of which `sizes` int64 [2] says how many there are, and how many are asked for.

    All int64 [rows] but where said. A row's key and value are written to `slots`, at the angle of `positions`; it sees
    the slots below `counts`, but those that `hidden` (bytes) names from `hidden_at` on, counted from `hidden_from`; -1
    hides none. `owners` are rows of `pages` [rows, pages], which tell where in the cache a sequence's slots lie.
    `asked` are rows whose scores are wanted.
    """

    sizes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    slots: NDArray[np.int64]
    counts: NDArray[np.int64]
    owners: NDArray[np.int64]
    pages: NDArray[np.int64]
    hidden: NDArray[np.uint8]
    hidden_at: NDArray[np.int64]
    hidden_from: NDArray[np.int64]
    asked: NDArray[np.int64]

    @classmethod
    def room(cls, rows: int, pages: int, hidden: int) -> Rows:
        """For so many rows, of sequences with up to so many pages, and so many bytes that hide."""
        tokens, positions, slots, counts, owners, hidden_at, hidden_from, asked = np.zeros((8, rows), dtype=np.int64)
        table = np.zeros((rows, pages), dtype=np.int64)
        hides = np.zeros(hidden, dtype=np.uint8)
        sizes = np.zeros(2, dtype=np.int64)
        return cls(sizes, tokens, positions, slots, counts, owners, table, hides, hidden_at, hidden_from, asked)


class Room(NamedTuple):
    """Scratch of a pass: residual stream, wide products, turned queries, prepared rows, scores of each thread."""

    stream: NDArray[np.float32]
    wide: NDArray[np.float32]
    queries: NDArray[np.float32]
    activations: Activations
    gated: Activations
    scores: NDArray[np.float32]
    low: NDArray[np.float32]

    @classmethod
    def of(cls, shape: Shape, rows: int, keys: int, threads: int, rank: int) -> Room:
        """For passes of up to so many rows, each seeing up to `keys` keys, with an adapter of such a rank."""
        qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        width = max(shape.hidden, shape.heads * shape.head_dim)
        padded = -(-keys // PAGE) * PAGE
        return cls(
            np.zeros((rows, shape.hidden), dtype=np.float32),
            np.zeros((rows, max(qkv, 2 * shape.intermediate)), dtype=np.float32),
            np.zeros(rows * shape.heads * shape.head_dim, dtype=np.float32),
            Activations.room(rows, width),
            Activations.room(rows, shape.intermediate),
            np.zeros((threads, 4, padded), dtype=np.float32),
            np.zeros((threads, max(rank, 1)), dtype=np.float32),
        )


@compiled
def run_passes(
    thread: int,
    threads: int,
    board: Any,
    met: int,
    shape: Any,
    parameters: Any,
    rows: Any,
    storage: Any,
    room: Any,
    scores: Any,
) -> int:
    """`run_pass`, and again whenever the team is called again."""
    while True:
        met = run_pass(thread, threads, board, met, shape, parameters, rows, storage, room, scores)
        if not stand_by(board, thread):
            return met


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
    scores: Any,
) -> int:
    """Run `rows` through all layers, writing the cache, and those asked for through the head.

    `storage` is flat [pages, layers, kv_heads, 2, PAGE * head_dim]; `scores` fp32 [rows, vocab rounded up to 16].
    All threads call this at once; returns what `counter` came to.
    """
    count, linears, stream = rows.sizes[0], parameters.linears, room.stream
    # A few rows are prepared by every thread for itself: that costs less than to meet.
    alone = count <= _FEW
    own, step = (0, 1) if alone else (thread, threads)
    x, inner_x, wide = room.activations, room.gated, room.wide
    hidden, inner, group = shape.hidden, shape.intermediate, shape.heads // shape.kv_heads
    qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    flat, residual = wide.reshape(-1), stream.reshape(-1)
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

        begin, end = share((qkv + LANES - 1) // LANES, thread, threads)
        multiply(linears, first, x, count, flat, qkv, 0, begin, end)
        _adapt(shape, parameters, rows, x, room.low, first, hidden, qkv, flat, qkv, begin, end, 0, thread)
        met += threads
        meet(counter, met)

        for item in range(thread, count * shape.kv_heads, threads):
            row, head = item // shape.kv_heads, item % shape.kv_heads
            _store(shape, parameters, rows, storage, flat, qkv, layer, row, head)
        met += threads
        meet(counter, met)

        bundle = min(group, 4) if count * shape.kv_heads >= 2 * threads else 1
        bundles = (group + bundle - 1) // bundle
        for item in range(thread, count * shape.kv_heads * bundles, threads):
            row, part = item // (shape.kv_heads * bundles), item % (shape.kv_heads * bundles)
            _attend(
                shape,
                parameters,
                rows,
                storage,
                flat,
                qkv,
                room.queries,
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

        begin, end = share(hidden // LANES, thread, threads)
        multiply(linears, first + 1, x, count, stream, hidden, 1, begin, end)
        heads = shape.heads * shape.head_dim
        _adapt(shape, parameters, rows, x, room.low, first + 1, heads, hidden, residual, hidden, begin, end, 0, thread)
        met += threads
        meet(counter, met)

        for row in range(own, count, step):
            start = (2 * layer + 1) * hidden
            normalize(stream, row * hidden, parameters.norms, start, hidden, shape.eps, x.raw, row * hidden)
            prepare(linears, first + 2, x, row, 0, hidden // _BLOCK)
        if not alone:
            met += threads
            meet(counter, met)

        # A thread computes both halves of its blocks, so that it can gate them without waiting for others.
        block, last_block = share(inner // _BLOCK, thread, threads)
        begin, end, pair = block * _TILES, last_block * _TILES, inner // LANES
        multiply(linears, first + 2, x, count, flat, 2 * inner, 0, begin, end)
        multiply(linears, first + 2, x, count, flat, 2 * inner, 0, pair + begin, pair + end)
        _adapt(
            shape,
            parameters,
            rows,
            x,
            room.low,
            first + 2,
            hidden,
            2 * inner,
            flat,
            2 * inner,
            begin,
            end,
            pair,
            thread,
        )
        for row in range(count):
            for tile in range(begin, end):
                gated, to = row * 2 * inner + tile * LANES, row * inner + tile * LANES
                gate(flat, gated, gated + inner, inner_x.raw, to)
            prepare(linears, first + 3, inner_x, row, block, last_block)
        met += threads
        meet(counter, met)

        begin, end = share(hidden // LANES, thread, threads)
        multiply(linears, first + 3, inner_x, count, stream, hidden, 1, begin, end)
        _adapt(
            shape,
            parameters,
            rows,
            inner_x,
            room.low,
            first + 3,
            inner,
            hidden,
            residual,
            hidden,
            begin,
            end,
            0,
            thread,
        )
        met += threads
        meet(counter, met)

    head, last = shape.layers * _LINEARS, 2 * shape.layers * hidden
    asked = rows.sizes[1]
    for index in range(thread, asked, threads):
        normalize(stream, rows.asked[index] * hidden, parameters.norms, last, hidden, shape.eps, x.raw, index * hidden)
        prepare(linears, head, x, index, 0, hidden // _BLOCK)
    met += threads
    meet(counter, met)

    begin, end = share(scores.shape[1] // LANES, thread, threads)
    multiply(linears, head, x, asked, scores, scores.shape[1], 0, begin, end)
    met += threads
    meet(counter, met)
    return met


@compiled
def _adapt(
    shape: Any,
    parameters: Any,
    rows: Any,
    activations: Any,
    low: Any,
    index: int,
    inputs: int,
    outputs: int,
    out: Any,
    stride: int,
    first: int,
    last: int,
    pair: int,
    thread: int,
) -> None:
    """Add the adapter's part of layer `index` to the rows of mask tokens."""
    x, tokens, vocab = activations.raw.reshape(-1), rows.tokens[: rows.sizes[0]], shape.vocab
    adapt(parameters.adapter, index, tokens, vocab, x, inputs, outputs, low, out, stride, first, last, pair, thread)


@compiled
def _store(
    shape: Any, parameters: Any, rows: Any, storage: Any, products: Any, stride: int, layer: int, row: int, head: int
) -> None:
    """Write one key of a row, turned, and its value to the cache."""
    dim, half, position, slot = shape.head_dim, shape.head_dim // 2, rows.positions[row], rows.slots[row]
    cosine, sine = parameters.cosine, parameters.sine
    at, offset = _place(shape, layer, rows.pages[rows.owners[row], slot // PAGE], head), slot % PAGE
    key = row * stride + (shape.heads + head) * dim
    for i in range(half):
        left, right = products[key + i], products[key + half + i]
        turned = left * cosine[position, i] - right * sine[position, i]
        keep(storage, at + i * PAGE + offset, turned)
        turned = right * cosine[position, i] + left * sine[position, i]
        keep(storage, at + (half + i) * PAGE + offset, turned)
    for i in range(dim):
        keep(storage, at + PAGE * dim + offset * dim + i, products[key + shape.kv_heads * dim + i])


@compiled
def _attend(
    shape: Any,
    parameters: Any,
    rows: Any,
    storage: Any,
    flat: Any,
    stride: int,
    queries: Any,
    scores: Any,
    out: Any,
    layer: int,
    row: int,
    kv_head: int,
    part: int,
    bundle: int,
    thread: int,
) -> None:
    """Query heads `part * bundle` and after, of one key-value head: turned, then held against the keys."""
    dim, group = shape.head_dim, shape.heads // shape.kv_heads
    heads, first = min(bundle, group - part * bundle), kv_head * group + part * bundle
    query = row * shape.heads * dim + first * dim
    scale = np.float32(1.0) / np.float32(np.sqrt(np.float32(dim)))
    for head in range(heads):
        at, position = row * stride + (first + head) * dim, rows.positions[row]
        rotate(flat, at, parameters.cosine, parameters.sine, position, scale, queries, query + head * dim)
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
        queries,
        query,
        rows.hidden,
        rows.hidden_at[row],
        rows.hidden_from[row],
        scores.reshape(-1),
        thread * 4 * scores.shape[2],
        scores.shape[2],
        out,
        query,
    )


@compiled
def _place(shape: Any, layer: int, page: int, kv_head: int) -> int:
    """Where the keys of a page begin."""
    at: int = ((page * shape.layers + layer) * shape.kv_heads + kv_head) * 2 * PAGE * shape.head_dim
    return at
