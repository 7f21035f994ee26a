"""Which side of a canary a key is on."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.policy.trial.bucket import is_in, position

A, B = "a" * 64, "b" * 64
KEYS = [f"session-{number}" for number in range(20_000)]


@given(key=st.text(), less=st.floats(0, 100), more=st.floats(0, 100))
def test_more_percent_never_moves_a_key_back(key: str, less: float, more: float) -> None:
    less, more = sorted((less, more))
    assert is_in(A, key, more) >= is_in(A, key, less)
    assert not is_in(A, key, 0)
    assert is_in(A, key, 100)


def test_shares_are_even() -> None:
    for percent in (1, 5, 50):
        share = 100 * sum(is_in(A, key, percent) for key in KEYS) / len(KEYS)
        assert abs(share - percent) < 4 * (percent * (100 - percent) / len(KEYS)) ** 0.5
    tenths = [0] * 10
    for key in KEYS:
        tenths[int(position(A, key) / 10)] += 1
    assert sum((count - 2_000) ** 2 / 2_000 for count in tenths) < 28  # chi-squared, 9 degrees: 1 in 1,000


def test_candidates_are_unrelated() -> None:
    both = sum(is_in(A, key, 20) and is_in(B, key, 20) for key in KEYS)
    assert abs(both / len(KEYS) - 0.04) < 0.006


def test_others_can_compute_it() -> None:
    first = hashlib.sha256(f"{A}:session-1".encode()).hexdigest()[:16]
    assert position(A, "session-1") == pytest.approx(100 * int(first, 16) / 2**64)
