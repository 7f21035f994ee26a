"""Counter-based noise: a pure function with the right distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.noise import LEAST, MOST, gumbel, keys

WIDTH = 49_152
Words = NDArray[np.uint32]


def _mix(bits: Words) -> Words:
    bits = (bits ^ bits >> 16) * np.uint32(0x85EBCA6B)
    bits = (bits ^ bits >> 13) * np.uint32(0xC2B2AE35)
    return bits ^ bits >> 16


def test_is_what_it_says() -> None:
    """MurmurHash3's finaliser over the token's number, twice; 31 bits of it, through both logarithms."""
    seed, position = 2**63 + 12345, 678
    first, second = (np.uint32(key) for key in keys(seed, position))
    counters = np.arange(1001, dtype=np.uint32) * np.uint32(0x9E3779B9)
    v = ((_mix(_mix(counters ^ first) ^ second) >> 1) + 0.5) / 2**31
    np.testing.assert_allclose(gumbel(seed, position, 1001), -np.log(-np.log1p(-v)), atol=1e-3, rtol=0)


def test_known_values() -> None:
    """Texts of fixed seeds must not change from one version to the next."""
    assert keys(7, 11) == (1960838556, 673671577)
    np.testing.assert_allclose(gumbel(7, 11, 4), [0.5395, 2.0478, -0.5589, -0.0271], atol=1e-4)


def test_repeats() -> None:
    assert np.array_equal(gumbel(7, 11, WIDTH), gumbel(7, 11, WIDTH))
    assert np.array_equal(gumbel(7, 11, WIDTH)[:99], gumbel(7, 11, 99))


def test_seed_and_position_matter() -> None:
    base = gumbel(7, 11, WIDTH)
    for seed, position in ((8, 11), (7, 12), (7 + 2**32, 11)):
        other = gumbel(seed, position, WIDTH)
        assert np.mean(base == other) < 0.001
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.02


def test_is_gumbel() -> None:
    noise = np.concatenate([gumbel(1, position, WIDTH) for position in range(64)])
    assert LEAST < noise.min() < -2.5
    assert 13 < noise.max() < MOST
    assert abs(noise.mean() - 0.57722) < 0.005
    assert abs(noise.std() - 1.28255) < 0.005
    for bar in (2, 6, 10):  # the tail decides draws
        expected = len(noise) * -np.expm1(-np.exp(-bar))
        assert abs((noise > bar).sum() - expected) < 5 * expected**0.5


def test_draws_follow_the_softmax() -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0], dtype=np.float32)
    drawn = [int((logits + gumbel(3, position, 4)).argmax()) for position in range(4000)]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, expected, atol=0.03)
