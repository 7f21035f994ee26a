"""Normalisation, rotation and gating against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.rows import gate, keep, normalize, rotary_table, rotate, widen


@compiled
def _run(x: Any, weight: Any, narrow: Any, normal: Any, gated: Any, wide: Any, kept: Any) -> None:
    normalize(x, 0, weight, 0, len(x), 1e-5, normal, 0)
    for at in range(0, len(gated), 16):
        gate(x, at, at + len(gated), gated, at)
    widen(narrow, 0, len(x), wide, 0)
    for at in range(len(x)):
        keep(kept, at, x[at])


def test_formulas() -> None:
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((2, 96), dtype=np.float32) * 8
    narrow = to_bfloat16(x)
    normal, wide, kept = np.zeros_like(x), np.zeros_like(x), np.zeros(96, dtype=np.uint16)
    gated = np.zeros(48, dtype=np.float32)
    _run(x, weight, narrow, normal, gated, wide, kept)
    np.testing.assert_allclose(normal, x / np.sqrt(np.mean(x**2) + 1e-5) * weight, rtol=1e-5)
    np.testing.assert_allclose(gated, x[:48] / (1 + np.exp(-x[:48].astype(np.float64))) * x[48:], rtol=1e-5)
    assert np.array_equal(wide, (narrow.astype(np.uint32) << 16).view(np.float32))
    assert np.array_equal(kept, narrow)


def test_rotation_keeps_lengths_and_angles() -> None:
    cosine, sine = rotary_table(32, 64, 1e4)
    x = np.random.default_rng(0).standard_normal((2, 128), dtype=np.float32)
    out = np.zeros((2, 64), dtype=np.float32)
    rotate(x.reshape(-1), 64, cosine, sine, 7, np.float32(1), out.reshape(-1), 0)
    rotate(x.reshape(-1), 192, cosine, sine, 0, np.float32(0.5), out.reshape(-1), 64)
    np.testing.assert_allclose(out[1], x[1, 64:] / 2)
    pairs = x[0, 64:96] + 1j * x[0, 96:]
    angles = 7 * 1e4 ** (-np.arange(0, 64, 2) / 64)
    turned = pairs * np.exp(1j * angles)
    np.testing.assert_allclose(out[0], np.concatenate([turned.real, turned.imag]), rtol=1e-4, atol=1e-5)
