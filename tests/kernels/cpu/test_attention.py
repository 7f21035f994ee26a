"""Attention over pages: what it computes, and that its bits depend on the visible keys alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from triroute.kernels.cpu.attention import PAGE, attend
from triroute.kernels.cpu.dense import to_bfloat16

PAGES = 6


def _cache(keys: NDArray[np.float32], values: NDArray[np.float32], pages: list[int], size: int) -> NDArray[np.float32]:
    """Lay keys and values [tokens, head_dim] out in pages of one layer and head."""
    head_dim = keys.shape[1]
    storage = np.random.default_rng(9).standard_normal((size, 2, PAGE * head_dim), dtype=np.float32)
    for token, (key, value) in enumerate(zip(keys, values, strict=True)):
        page = storage[pages[token // PAGE]]
        page[0].reshape(head_dim, PAGE)[:, token % PAGE] = key
        page[1].reshape(PAGE, head_dim)[token % PAGE] = value
    return storage.reshape(-1)


def _attend(
    storage: NDArray[np.float32],
    queries: NDArray[np.float32],
    count: int,
    pages: list[int],
    hidden: list[int] | None = None,
) -> NDArray[np.float32]:
    heads, head_dim = queries.shape
    out = np.zeros((heads, head_dim), dtype=np.float32)
    mask = np.zeros(PAGES * PAGE, dtype=np.uint8)
    mask[hidden or []] = 1
    scores, stride = np.zeros(4 * PAGES * PAGE, dtype=np.float32), PAGES * PAGE
    table, page_stride = np.array(pages, dtype=np.int64), 2 * PAGE * head_dim
    for first in range(0, heads, 4):
        bundle = min(4, heads - first)
        at = (-1 if hidden is None else 0, 0)
        attend(
            storage, 0, table, 0, page_stride, count, bundle, head_dim, queries, first * head_dim, mask, *at,
            scores, 0, stride, out, first * head_dim,
        )  # fmt: skip
    return out


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 64), (2, 16), (3, 64), (4, 80), (6, 128)])
@pytest.mark.parametrize("count", [1, 15, 64, 65, 200, 384])
def test_is_attention(heads: int, head_dim: int, count: int) -> None:
    random = np.random.default_rng(count)
    keys, values = random.standard_normal((2, count, head_dim), dtype=np.float32)
    queries = random.standard_normal((heads, head_dim), dtype=np.float32)
    pages = [4, 0, 5, 1, 2, 3]
    mixed = _attend(_cache(keys, values, pages, PAGES), queries, count, pages)
    weights = np.exp(queries.astype(np.float64) @ keys.T)
    expected = weights / weights.sum(axis=1, keepdims=True) @ values
    np.testing.assert_allclose(mixed, expected, rtol=2e-4, atol=2e-5)


def test_pages_and_neighbours_do_not_matter() -> None:
    random = np.random.default_rng(0)
    keys, values = random.standard_normal((2, 150, 64), dtype=np.float32)
    queries = random.standard_normal((3, 64), dtype=np.float32)
    here, there = [0, 1, 2], [5, 3, 4]
    first = _attend(_cache(keys, values, here, PAGES), queries, 150, here)
    second = _attend(_cache(keys, values, there, PAGES), queries, 150, there)
    assert np.array_equal(first, second)
    single = [_attend(_cache(keys, values, here, PAGES), query[None], 150, here)[0] for query in queries]
    assert np.array_equal(first, np.array(single))


@pytest.mark.parametrize("gap", [1, 7, 16, 63])
def test_hidden_keys_leave_no_trace(gap: int) -> None:
    """Scratch between a row's keys changes no bit: that is what makes tree masks exact."""
    random = np.random.default_rng(gap)
    keys, values = random.standard_normal((2, 100, 64), dtype=np.float32)
    queries = random.standard_normal((3, 64), dtype=np.float32)
    pages = [0, 1, 2]
    plain = _attend(_cache(keys, values, pages, PAGES), queries, 100, pages)
    scratch = random.standard_normal((gap, 64), dtype=np.float32) * 9
    spread = [np.concatenate([part[:70], scratch, part[70:]]) for part in (keys, values)]
    masked = _attend(_cache(*spread, pages, PAGES), queries, 100 + gap, pages, list(range(70, 70 + gap)))
    assert np.array_equal(plain, masked)


def test_bf16_cache() -> None:
    random = np.random.default_rng(0)
    keys, values = random.standard_normal((2, 90, 64), dtype=np.float32)
    queries = random.standard_normal((3, 64), dtype=np.float32)
    pages = [0, 1]
    narrow = to_bfloat16(_cache(keys, values, pages, PAGES))
    rounded = (narrow.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(_attend(narrow, queries, 90, pages), _attend(rounded, queries, 90, pages))
