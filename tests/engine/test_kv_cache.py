"""The cache lends every page to one owner at most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.engine.kv_cache import KVCache, Pages
from triroute.kernels.cpu.attention import PAGE


def _cache(pages: int = 8) -> KVCache:
    return KVCache(np.zeros(0), pages)


def test_rounds_up_and_takes_back() -> None:
    cache = _cache()
    first, second = cache.reserve(1), cache.reserve(PAGE + 1)
    assert first is not None
    assert second is not None
    assert (len(first), len(second)) == (1, 2)
    assert cache.used == 3 * PAGE
    cache.release(first)
    cache.release(second)
    assert cache.reserve(8 * PAGE) is not None


def test_full() -> None:
    cache = _cache()
    assert cache.reserve(8 * PAGE) is not None
    assert cache.reserve(1) is None
    assert cache.can_ever_hold(8 * PAGE)
    assert not cache.can_ever_hold(8 * PAGE + 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4 * PAGE)), max_size=60))
def test_integrity(steps: list[tuple[bool, int]]) -> None:
    cache = _cache()
    lent: list[Pages] = []
    for reserve, number in steps:
        if reserve:
            pages = cache.reserve(number)
            lent += [pages] if pages else []
        elif lent:
            cache.release(lent.pop(number % len(lent)))
        cache.check_integrity(lent)
    assert cache.used == sum(len(pages) for pages in lent) * PAGE


def test_integrity_notices() -> None:
    cache = _cache()
    pages = cache.reserve(PAGE)
    assert pages is not None
    with pytest.raises(RuntimeError, match="not owned exactly once"):
        cache.check_integrity([])
    cache.release(pages)
    with pytest.raises(RuntimeError, match="not owned exactly once"):
        cache.check_integrity([pages])
    with pytest.raises(RuntimeError, match="does not exist"):
        cache.check_integrity([(8,)])
