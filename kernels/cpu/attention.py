"""Attention of one row over a paged cache, keys one after the other: the order of sums is that of the slots.

A page of one layer and key-value head holds PAGE keys as [head_dim, PAGE], then their values as [PAGE, head_dim], so
that both products run along lanes. A hidden key weighs exactly 0, and adding nothing changes no bit: rows see the
same sums whatever scratch lies between their keys.
"""

from __future__ import annotations

from typing import Any

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Pointer, emitted

PAGE = 64
_VECTORS = PAGE // LANES
_LEAST = -87.0


def _score(heads: int) -> Any:
    """Products of so many queries with the PAGE keys at `at`.

    `queries` fp32 from `query`, heads `head_dim` apart; `scores` fp32 from `to`, heads `stride` apart.
    """

    @emitted
    def score(
        e: Emitter,
        storage: Pointer,
        at: Index,
        head_dim: Index,
        queries: Pointer,
        query: Index,
        scores: Pointer,
        to: Index,
        stride: Index,
    ) -> None:
        totals = [[e.variable(e.number(0.0)) for _ in range(_VECTORS)] for _ in range(heads)]
        with e.loop(head_dim) as dim:
            keys = [e.floats(storage, e.at(at, (dim, PAGE), LANES * part)) for part in range(_VECTORS)]
            for head, parts in enumerate(totals):
                number = e.splat(e.scalar(queries, e.at(query, (head_dim, head), dim)))
                for key, total in zip(keys, parts, strict=True):
                    total.set(e.fma(key, number, total.get()))
        for head, parts in enumerate(totals):
            for part, total in enumerate(parts):
                e.store(total.get(), scores, e.at(to, (stride, head), LANES * part))

    return score


@emitted
def soften(e: Emitter, scores: Pointer, at: Index, count: Index) -> None:
    """`exp(score - largest)` over `count` scores, a multiple of 16; 0 where that is under e^-87."""
    largest = e.variable(e.floats(scores, at))
    with e.loop(e.quotient(count, LANES)) as step:
        largest.set(e.maximum(largest.get(), e.floats(scores, e.at(at, (step, LANES)))))
    top = e.splat(e.folded(largest.get(), e.maximum))
    with e.loop(e.quotient(count, LANES)) as step:
        place = e.at(at, (step, LANES))
        below = e.floats(scores, place) - top
        e.store(e.where_above(below, _LEAST, e.exp(below)), scores, place)


def _mix(heads: int, vectors: int) -> Any:
    """Weighted mean of `count` values for so many heads and 16 * `vectors` dimensions.

    Values of a page lie from `at + pages[first + page] * page_stride`; `weights` fp32 from `start`, heads `stride`
    apart; `out` fp32 from `to`, heads `head_dim` apart.
    """

    @emitted
    def mix(
        e: Emitter,
        storage: Pointer,
        at: Index,
        pages: Pointer,
        first: Index,
        page_stride: Index,
        count: Index,
        head_dim: Index,
        weights: Pointer,
        start: Index,
        stride: Index,
        out: Pointer,
        to: Index,
    ) -> None:
        sums = [[e.variable(e.number(0.0)) for _ in range(vectors)] for _ in range(heads)]
        whole = [e.variable(e.zero()) for _ in range(heads)]
        with e.loop(e.quotient(e.at(count, PAGE - 1), PAGE)) as page:
            base = e.at(at, (e.long(pages, e.at(first, page)), page_stride))
            done = e.at((page, PAGE))
            with e.loop(e.least(e.difference(count, done), PAGE)) as key:
                values = [e.floats(storage, e.at(base, (key, head_dim), LANES * part)) for part in range(vectors)]
                for head, parts in enumerate(sums):
                    weight = e.scalar(weights, e.at(start, (stride, head), done, key))
                    whole[head].set(whole[head].get() + weight)
                    lanes = e.splat(weight)
                    for value, sum_ in zip(values, parts, strict=True):
                        sum_.set(e.fma(value, lanes, sum_.get()))
        for head, parts in enumerate(sums):
            total = e.splat(whole[head].get())
            for part, sum_ in enumerate(parts):
                e.store(sum_.get() / total, out, e.at(to, (head_dim, head), LANES * part))

    return mix


_score_1, _score_2, _score_3, _score_4 = (_score(heads) for heads in (1, 2, 3, 4))
_narrow_1, _narrow_2, _narrow_3, _narrow_4 = (_mix(heads, 1) for heads in (1, 2, 3, 4))
_wide_1, _wide_2, _wide_3, _wide_4 = (_mix(heads, 4) for heads in (1, 2, 3, 4))


@compiled
def attend(
    storage: Any,
    at: int,
    pages: Any,
    first: int,
    page_stride: int,
    count: int,
    heads: int,
    head_dim: int,
    queries: Any,
    query: int,
    hidden: Any,
    hidden_at: int,
    hidden_from: int,
    scores: Any,
    start: int,
    stride: int,
    out: Any,
    to: int,
) -> None:
    """Up to four query heads of one row over the first `count` keys of one key-value head.

    `pages` is flat, the row's own from `first`. `hidden` bytes tell from `hidden_at` on which keys from `hidden_from`
    on to leave out; none where `hidden_at` is negative. `scores` is room for `heads` times `stride` numbers.
    """
    for page in range((count + PAGE - 1) // PAGE):
        keys, place = at + pages[first + page] * page_stride, start + page * PAGE
        if heads == 1:
            _score_1(storage, keys, head_dim, queries, query, scores, place, stride)
        elif heads == 2:
            _score_2(storage, keys, head_dim, queries, query, scores, place, stride)
        elif heads == 3:
            _score_3(storage, keys, head_dim, queries, query, scores, place, stride)
        else:
            _score_4(storage, keys, head_dim, queries, query, scores, place, stride)
    padded = (count + LANES - 1) // LANES * LANES
    for head in range(heads):
        row = start + head * stride
        for key in range(count, padded):
            scores[row + key] = -_INFINITY
        if hidden_at >= 0:
            for key in range(hidden_from, count):
                if hidden[hidden_at + key - hidden_from]:
                    scores[row + key] = -_INFINITY
        soften(scores, row, padded)
    values, dim = at + PAGE * head_dim, 0
    while dim < head_dim:
        wide = head_dim - dim >= 4 * LANES
        v, o = values + dim, to + dim
        if wide and heads == 1:
            _wide_1(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif wide and heads == 2:
            _wide_2(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif wide and heads == 3:
            _wide_3(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif wide:
            _wide_4(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif heads == 1:
            _narrow_1(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif heads == 2:
            _narrow_2(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        elif heads == 3:
            _narrow_3(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        else:
            _narrow_4(storage, v, pages, first, page_stride, count, head_dim, scores, start, stride, out, o)
        dim += 4 * LANES if wide else LANES


_INFINITY = float("inf")
