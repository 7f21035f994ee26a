"""Rotary position embedding (Su et al., arXiv:2104.09864), halves paired as Hugging Face's Llama pairs them."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_table(positions: int, head_dim: int, base: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines [positions, 1, head_dim]: the first half of the sines is negated."""
    frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequency
    cosine, sine = angle.cos(), angle.sin()
    signed = torch.cat([-sine, sine], dim=-1)
    return torch.cat([cosine, cosine], dim=-1)[:, None].to(dtype), signed[:, None].to(dtype)


def spread(cosine: Tensor, sine: Tensor, turning: int, still: int) -> tuple[Tensor, Tensor]:
    """Tables [rows, turning + still, head_dim] that turn the first heads and leave the others as they are.

    One multiplication then serves queries, keys and values together: `x * 1 + y * 0` is `x`, bit for bit.
    """
    rows, _, head_dim = cosine.shape
    ones, zeros = cosine.new_ones(rows, still, head_dim), cosine.new_zeros(rows, still, head_dim)
    turn = (rows, turning, head_dim)
    return torch.cat([cosine.expand(turn), ones], dim=1), torch.cat([sine.expand(turn), zeros], dim=1)


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn `heads` by the angles of their rows; all [rows, heads, head_dim]."""
    rows, count, head_dim = heads.shape
    swapped = heads.view(rows, count, 2, head_dim // 2).flip(2).view(rows, count, head_dim)
    return torch.addcmul(heads * cosine, swapped, sine)
