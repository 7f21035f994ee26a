"""Counter-based Gumbel noise: a pure function of (seed, position, token), so that a draw can be repeated anywhere.

The hash is the 32-bit finaliser of MurmurHash3 (Appleby, public domain), two rounds with two keys.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF


def gumbel(seed: int, position: int, width: int) -> Tensor:
    """Standard Gumbel noise, fp32 [width], for the token at `position`."""
    first, second = _keys(seed, position)
    bits = _mix(_mix(_counters(width) ^ first) ^ second)
    uniform = ((bits >> 8) & 0xFFFFFF).to(torch.float32).add_(0.5).mul_(2.0**-24)
    return uniform.log_().neg_().log_().neg_()


@cache
def _counters(width: int) -> Tensor:
    return (torch.arange(width, dtype=torch.int64) * 0x9E3779B9).to(torch.int32)


def _mix(bits: Tensor) -> Tensor:
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    bits = bits * _signed(0x85EBCA6B)
    bits = bits ^ ((bits >> 13) & 0x7FFFF)
    bits = bits * _signed(0xC2B2AE35)
    return bits ^ ((bits >> 16) & 0xFFFF)


def _keys(seed: int, position: int) -> tuple[int, int]:
    low = _scramble(_scramble(seed & _WORD) ^ position)
    high = _scramble(_scramble((seed >> 32) ^ 0x5BD1E995) + position * 0x27D4EB2F)
    return _signed(low), _signed(high)


def _scramble(word: int) -> int:
    word &= _WORD
    word = (word ^ word >> 16) * 0x85EBCA6B & _WORD
    word = (word ^ word >> 13) * 0xC2B2AE35 & _WORD
    return word ^ word >> 16


def _signed(word: int) -> int:
    return word - (1 << 32) if word & 0x80000000 else word
