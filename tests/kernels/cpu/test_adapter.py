"""Mask rows see the adapter's weights, all others the plain ones, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from triroute.engine.adapters import linear_sizes
from triroute.engine.checkpoints.weights import Layer, Weights
from triroute.engine.config import ModelConfig
from triroute.engine.model import Block, Model
from triroute.engine.span import Branch
from triroute.engine.testing import TINY
from triroute.kernels.cpu.adapter import Adapter
from triroute.kernels.cpu.dense import from_bfloat16, to_bfloat16
from triroute.kernels.cpu.linear import Linear

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
RANK = 3


def _shapes(config: ModelConfig) -> list[tuple[int, int]]:
    return [*linear_sizes(config).values()] * config.layers


def _rounded(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    return from_bfloat16(to_bfloat16(numbers))


def _parts(config: ModelConfig) -> tuple[list[NDArray[np.float32]], list[Pair | None]]:
    """Plain weights of all linears, and what an adapter adds to all but every third of them."""
    random = np.random.default_rng(3)
    plain = [random.standard_normal(shape, dtype=np.float32) / shape[1] ** 0.5 for shape in _shapes(config)]
    pairs: list[Pair | None] = []
    for index, (outputs, inputs) in enumerate(_shapes(config)):
        down = _rounded(random.standard_normal((RANK, inputs), dtype=np.float32) / inputs**0.5)
        up = _rounded(random.standard_normal((outputs, RANK), dtype=np.float32))
        pairs.append(None if index % 3 == 2 else (down, up))
    return plain, pairs


def _model(linears: list[NDArray[np.float32]], adapter: Adapter | None = None, threads: int = 1) -> Model:
    random = np.random.default_rng(4)
    embedding = random.standard_normal((TINY.vocab + 1, TINY.hidden), dtype=np.float32)
    norm = np.ones(TINY.hidden, dtype=np.float32)
    packed = [Linear.dense(linear, narrow=False) for linear in linears]
    layers = tuple(
        Layer(norm, packed[i], packed[i + 1], norm, packed[i + 2], packed[i + 3]) for i in range(0, len(packed), 4)
    )
    head = Linear.dense(embedding[:-1], narrow=False)
    return Model(Weights(replace(TINY), embedding, layers, norm, head), threads, adapter)


@pytest.mark.parametrize("threads", [1, 2])
def test_mask_rows_get_the_sum_of_both_weights(threads: int) -> None:
    plain, pairs = _parts(TINY)
    merged = [weight if pair is None else weight + pair[1] @ pair[0] for weight, pair in zip(plain, pairs, strict=True)]
    adapted, whole = _model(plain, Adapter.of(pairs), threads), _model(merged)
    masks = [adapted.mask_id] * 5
    ours = adapted.run([Block(0, masks, [0])], adapted.new_cache(1), range(5)).copy()
    expected = whole.run([Block(0, masks, [0])], whole.new_cache(1), range(5))
    np.testing.assert_allclose(ours, expected, atol=2e-4, rtol=2e-4)
    adapted.close()


def test_all_other_rows_are_the_same_to_the_bit() -> None:
    plain, pairs = _parts(TINY)
    with_one, without = _model(plain, Adapter.of(pairs)), _model(plain)
    tokens = list(range(20, 33))
    masks = Branch(len(tokens) - 1, (with_one.mask_id,) * 4)
    ours = with_one.run([Block(0, tokens, [0], (masks,))], with_one.new_cache(1), range(17)).copy()
    alone = without.run([Block(0, tokens, [0])], without.new_cache(1), range(13)).copy()
    assert np.array_equal(ours[:13], alone)
    unadapted = without.run([Block(0, tokens, [0], (masks,))], without.new_cache(1), range(17))
    assert not np.allclose(ours[13:], unadapted[13:], atol=1e-3)
