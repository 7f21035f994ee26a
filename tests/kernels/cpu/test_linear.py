"""The packed products compute what their blocks say, and a row's bits do not depend on how many rows run with it."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from triroute.kernels.cpu import dense, int4, int8, lanes
from triroute.kernels.cpu.linear import Activations, Arena, Linear, multiply, prepare, share

INPUTS, OUTPUTS, ROWS = 96, 40, 23


def _weights(kind: str) -> tuple[Linear, NDArray[np.float64]]:
    """A layer and what it holds, exactly."""
    random = np.random.default_rng(0)
    if kind == "int4":
        quants = random.integers(0, 16, (OUTPUTS, INPUTS), dtype=np.uint8)
        scale = (random.random((OUTPUTS, INPUTS // 32)) * 0.1).astype(np.float16).astype(np.float32)
        minimum = (-random.random(scale.shape)).astype(np.float16).astype(np.float32)
        exact = quants * np.repeat(scale, 32, 1).astype(np.float64) + np.repeat(minimum, 32, 1)
        return Linear.int4(quants, scale, minimum), exact
    if kind == "int8":
        scale = random.random(OUTPUTS).astype(np.float32) * 0.01
        quants = random.integers(-126, 127, (OUTPUTS, INPUTS)).astype(np.float32)
        quants[:, 0] = 127
        weight = quants * scale[:, None]
        return Linear.int8(weight), weight.astype(np.float64)
    weight = random.standard_normal((OUTPUTS, INPUTS), dtype=np.float32)
    if kind == "bf16":
        weight = (dense.to_bfloat16(weight).astype(np.uint32) << 16).view(np.float32)
    return Linear.dense(weight, narrow=kind == "bf16"), weight.astype(np.float64)


def _product(linear: Linear, x: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
    arena, rows = Arena.of([linear]), len(x)
    activations = Activations.room(rows, INPUTS)
    activations.raw[:] = x
    out = np.zeros((rows, 48), dtype=np.float32)
    for row in range(rows):
        prepare(arena, 0, activations, row, 0, INPUTS // 32)
    for thread in range(threads):
        multiply(arena, 0, activations, rows, out, 48, 0, *share(3, thread, threads))
    return out[:, :OUTPUTS]


@pytest.mark.parametrize(("kind", "tolerance"), [("int4", 0.05), ("int8", 2e-4), ("bf16", 2e-5), ("fp32", 2e-5)])
def test_is_a_product(kind: str, tolerance: float) -> None:
    """int4 rounds its activations to int8, of which an error of one in 127 a number follows."""
    linear, exact = _weights(kind)
    x = np.random.default_rng(1).standard_normal((ROWS, INPUTS), dtype=np.float32)
    expected = x.astype(np.float64) @ exact.T
    error = np.abs(_product(linear, x) - expected)
    assert error.max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["int4", "int8", "bf16", "fp32"])
def test_rows_are_independent(kind: str) -> None:
    linear, _ = _weights(kind)
    x = np.random.default_rng(1).standard_normal((ROWS, INPUTS), dtype=np.float32)
    alone = np.concatenate([_product(linear, row[None]) for row in x])
    for width in range(1, ROWS + 1):
        assert np.array_equal(_product(linear, x[:width], threads=1 + width % 3), alone[:width]), width


@pytest.mark.parametrize("kind", ["int4", "int8"])
def test_zero_row(kind: str) -> None:
    linear, _ = _weights(kind)
    assert not _product(linear, np.zeros((2, INPUTS), dtype=np.float32)).any()


def test_adds_to_what_is_there() -> None:
    linear, _ = _weights("int4")
    arena, activations = Arena.of([linear]), Activations.room(1, INPUTS)
    activations.raw[:] = np.random.default_rng(1).standard_normal((1, INPUTS), dtype=np.float32)
    prepare(arena, 0, activations, 0, 0, INPUTS // 32)
    once, twice = np.zeros((1, 48), dtype=np.float32), np.full((1, 48), 5.0, dtype=np.float32)
    multiply(arena, 0, activations, 1, once, 48, 0, 0, 3)
    multiply(arena, 0, activations, 1, twice, 48, 1, 0, 3)
    np.testing.assert_allclose(twice, once + 5, rtol=1e-5, atol=1e-5)


def test_without_the_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU without four-byte products gets the same whole numbers, so the same bits."""
    monkeypatch.setattr(lanes, "has_dot4", lambda: False)
    fourth, eighth = int4._tile(2), int8._tile(2)

    def run_both(data: Any, start: int, x: Any, blocks: int, inputs: int, out: Any, scores: Any) -> None:
        fourth(data, 0, blocks, x.quants, x.units, 0, out, 16, 0, 0)
        eighth(data, start, inputs, x.digits, x.scales, 0, scores, 16, 0)

    layers = [_weights("int4")[0], _weights("int8")[0]]
    arena, activations = Arena.of(layers), Activations.room(2, INPUTS)
    activations.raw[:] = np.random.default_rng(1).standard_normal((2, INPUTS), dtype=np.float32)
    for row in range(2):
        for layer in range(2):
            prepare(arena, layer, activations, row, 0, INPUTS // 32)
    out, scores = np.zeros((2, 16), dtype=np.float32), np.zeros((2, 16), dtype=np.float32)
    slow = numba.njit(error_model="numpy")(run_both)
    slow(arena.data, int(arena.table[1, 1]), activations, INPUTS // 32, INPUTS, out, scores)
    for layer, answer in zip(layers, (out, scores), strict=True):
        assert np.array_equal(_product(layer, activations.raw)[:, :16], answer)
