"""The cache lends every token to one owner at most."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triroute.engine.kv_cache import PAGE, KVCache, Run


def _cache(pages: int = 8) -> KVCache:
    return KVCache(torch.zeros(1, 2, 1, pages * PAGE, 1))


def test_rounds_up_and_joins() -> None:
    cache = _cache()
    first, second = cache.reserve(1), cache.reserve(PAGE + 1)
    assert (first, second) == (Run(0, PAGE), Run(PAGE, 2 * PAGE))
    assert cache.used == 3 * PAGE
    assert first is not None
    assert second is not None
    cache.release(first)
    cache.release(second)
    assert cache.reserve(8 * PAGE) == Run(0, 8 * PAGE)


def test_full() -> None:
    cache = _cache()
    assert cache.reserve(8 * PAGE) is not None
    assert cache.reserve(1) is None
    assert cache.can_ever_hold(8 * PAGE)
    assert not cache.can_ever_hold(8 * PAGE + 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4 * PAGE)), max_size=60))
def test_integrity(steps: list[tuple[bool, int]]) -> None:
    cache = _cache()
    lent: list[Run] = []
    for reserve, number in steps:
        if reserve:
            run = cache.reserve(number)
            lent += [run] if run else []
        elif lent:
            cache.release(lent.pop(number % len(lent)))
        cache.check_integrity(lent)
    assert cache.used == sum(run.length for run in lent)


def test_integrity_notices() -> None:
    cache = _cache()
    run = cache.reserve(PAGE)
    assert run is not None
    with pytest.raises(RuntimeError, match="was expected"):
        cache.check_integrity([])
    cache.release(run)
    with pytest.raises(RuntimeError, match="was expected"):
        cache.check_integrity([run])
