"""What happens to one row between the products: normalisation, rotation, gating."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LANES, Emitter, Index, Lanes, Pointer, emitted


def rotary_table(positions: int, head_dim: int, base: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines [positions, head_dim / 2] (Su et al., arXiv:2104.09864)."""
    frequency = base ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    angle = np.arange(positions, dtype=np.float64)[:, None] * frequency
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


@emitted
def widen(e: Emitter, table: Pointer, at: Index, count: Index, out: Pointer, to: Index) -> None:
    """Copy `count` numbers, bf16 or fp32, as fp32."""
    with e.loop(e.quotient(count, LANES)) as step:
        e.store(e.floats(table, e.at(at, (step, LANES))), out, e.at(to, (step, LANES)))


@emitted
def normalize(
    e: Emitter, x: Pointer, at: Index, weight: Pointer, start: Index, width: Index, eps: Lanes, out: Pointer, to: Index
) -> None:
    """`x / sqrt(mean(x^2) + eps) * weight` (Zhang and Sennrich, arXiv:1910.07467)."""
    squares = e.variable(e.number(0.0))
    with e.loop(e.quotient(width, LANES)) as step:
        numbers = e.floats(x, e.at(at, (step, LANES)))
        squares.set(e.fma(numbers, numbers, squares.get()))
    sum_ = e.splat(e.folded(squares.get(), lambda left, right: left + right))
    scale = e.number(1.0) / e.root(sum_ / e.as_float(width) + e.splat(eps))
    with e.loop(e.quotient(width, LANES)) as step:
        numbers = e.floats(x, e.at(at, (step, LANES))) * scale
        e.store(numbers * e.floats(weight, e.at(start, (step, LANES))), out, e.at(to, (step, LANES)))


@emitted
def gate(e: Emitter, x: Pointer, at: Index, up: Index, out: Pointer, to: Index) -> None:
    """16 lanes of SwiGLU: `silu(x[at]) * x[up]` (Shazeer, arXiv:2002.05202)."""
    gated = e.floats(x, at)
    sigmoid = e.number(1.0) / (e.number(1.0) + e.exp(e.number(0.0) - gated))
    e.store(gated * sigmoid * e.floats(x, up), out, to)


@emitted
def keep(e: Emitter, table: Pointer, at: Index, number: Lanes) -> None:
    """Write one number to a table, rounded to bf16 where that is what it holds."""
    e.store(number if table.dtype == "float32" else e.narrowed(number), table, at)


@compiled
def rotate(x: Any, at: int, cosine: Any, sine: Any, position: int, scale: Any, out: Any, to: int) -> None:
    """Turn one head of `x`, halves paired as Hugging Face's Llama pairs them, and scale it; both fp32, flat."""
    half = cosine.shape[1]
    for i in range(half):
        left, right = x[at + i], x[at + half + i]
        out[to + i] = (left * cosine[position, i] - right * sine[position, i]) * scale
        out[to + half + i] = (right * cosine[position, i] + left * sine[position, i]) * scale
