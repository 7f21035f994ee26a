"""Every page is free, idle or held; what is published is found again, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.engine.kv_cache import KVCache, pages_for
from triroute.kernels.cpu.attention import PAGE


def _cache(pages: int = 8) -> KVCache:
    return KVCache(np.zeros(0), pages)


def _tokens(*pages: int) -> list[int]:
    return [page for page in pages for _ in range(PAGE)]


def test_lends_what_it_has() -> None:
    cache = _cache()
    lent = cache.lend(5)
    assert lent is not None
    assert cache.used == 5 * PAGE
    assert cache.lend(4) is None
    cache.release(lent)
    assert cache.lend(8) is not None
    assert cache.can_ever_hold(8 * PAGE)
    assert not cache.can_ever_hold(8 * PAGE + 1)
    assert pages_for(PAGE + 1) == 2


def test_borrows_the_longest_beginning() -> None:
    cache = _cache()
    lent = cache.lend(3)
    assert lent is not None
    cache.publish([*_tokens(1, 2, 3), 9], lent)
    assert cache.borrow([*_tokens(1, 2, 4)]) == lent[:2]
    assert cache.borrow(_tokens(2, 3)) == []
    assert cache.borrow(_tokens(1)[:-1]) == []
    cache.check_integrity([lent, lent[:2]])


def test_the_longest_unused_makes_room_and_a_prefix_outlives_its_continuation() -> None:
    cache = _cache(4)
    lent = cache.lend(3)
    assert lent is not None
    cache.publish(_tokens(1, 2, 3), lent)
    cache.release(lent)
    assert cache.used == 0
    taken = cache.lend(2)
    assert taken is not None
    assert cache.borrow(_tokens(1, 2, 3)) == lent[:2]
    cache.check_integrity([taken, lent[:2]])


def test_twins_publish_once() -> None:
    cache = _cache()
    first, second = cache.lend(2), cache.lend(2)
    assert first is not None
    assert second is not None
    cache.publish(_tokens(1, 2), first)
    cache.publish(_tokens(1, 2), second)
    cache.release(second)
    assert cache.available == 6
    cache.release(first)
    assert cache.borrow(_tokens(1, 2)) == first


steps = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 2), min_size=1, max_size=4)), max_size=60)


@given(steps)
def test_integrity(steps: list[tuple[int, list[int]]]) -> None:
    """Sequences of few distinct pages come, publish, and go, in a cache that is too small for all."""
    cache = _cache()
    held: list[list[int]] = []
    for kind, content in steps:
        tokens = _tokens(*content)
        if kind < 3:
            pages = cache.borrow(tokens)
            fresh = cache.lend(len(content) - len(pages))
            if fresh is None:
                cache.release(pages)
            else:
                held.append(pages + fresh)
                if kind:
                    cache.publish(tokens, held[-1])
        elif held:
            cache.release(held.pop(len(content) % len(held)))
        cache.check_integrity(held)
    assert cache.used == len({page for pages in held for page in pages}) * PAGE


def test_integrity_notices() -> None:
    cache = _cache()
    lent = cache.lend(1)
    assert lent is not None
    with pytest.raises(RuntimeError, match="holders"):
        cache.check_integrity([])
    cache.release(lent)
    cache._free.append(lent[0])
    with pytest.raises(RuntimeError, match="lost, or in two places"):
        cache.check_integrity([])
