"""Counter-based Gumbel noise: a pure function of (seed, position, token), so that a draw can be repeated anywhere.

The hash is the 32-bit finaliser of MurmurHash3 (Appleby, public domain), two rounds with two keys.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Lanes, Pointer, emitted

LEAST, MOST = -2.86, 22.19
"""Bounds of the noise."""
_WORD = 0xFFFFFFFF
_GOLDEN, _FIRST, _SECOND = (word - 2**32 for word in (0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35))


def keys(seed: int, position: int) -> tuple[int, int]:
    """The two 32-bit keys of the hash for the token at `position`; `seed` has 64 bits."""
    low = _scramble(_scramble(seed & _WORD) ^ position)
    high = _scramble(_scramble((seed >> 32) ^ 0x5BD1E995) + position * 0x27D4EB2F)
    return low, high


def gumbel(seed: int, position: int, width: int) -> NDArray[np.float32]:
    """Standard Gumbel noise, fp32 [width], for the token at `position`."""
    out = np.zeros(-(-width // LANES) * LANES, dtype=np.float32)
    _fill(*keys(seed, position), out)
    return out[:width]


def noise_of(e: Emitter, tokens: Lanes, first: Index, second: Index) -> Lanes:
    """Emit the noise of 16 tokens.

    It is `-log(-log1p(-v))` with 31 bits of `v` in (0, 1): fine grained where `v` is small, which is where noise is
    large and draws are decided. `log1p(-v)` is the logarithm of the rounded `1 - v`, plus what the rounding lost.
    """
    bits = _mix(e, _mix(e, (tokens * e.whole(_GOLDEN)) ^ e.word(first)) ^ e.word(second))
    v = e.fma(e.to_floats(bits >> e.whole(1)), e.number(2.0**-31), e.number(2.0**-32))
    u = e.maximum(e.number(1.0) - v, e.number(2.0**-25))
    lost = (e.number(1.0) - u) - v
    return e.number(0.0) - e.log(e.number(0.0) - (e.log(u) + lost))


@emitted
def _noise(e: Emitter, first: Index, second: Index, out: Pointer, at: Index) -> None:
    """16 numbers, for the tokens from `at` on."""
    e.store(noise_of(e, e.word(at) + e.ramp(), first, second), out, at)


@compiled
def _fill(first: int, second: int, out: NDArray[np.float32]) -> None:
    for at in range(0, len(out), LANES):
        _noise(first, second, out, at)


def _mix(e: Emitter, bits: Lanes) -> Lanes:
    bits = (bits ^ (bits >> e.whole(16))) * e.whole(_FIRST)
    bits = (bits ^ (bits >> e.whole(13))) * e.whole(_SECOND)
    return bits ^ (bits >> e.whole(16))


def _scramble(word: int) -> int:
    word &= _WORD
    word = (word ^ word >> 16) * 0x85EBCA6B & _WORD
    word = (word ^ word >> 13) * 0xC2B2AE35 & _WORD
    return word ^ word >> 16
