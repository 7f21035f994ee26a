"""The PyTorch twin says what the kernels say, on chains and on masks behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from triroute.engine.checkpoints.weights import Checkpoint, Weights
from triroute.engine.model import Block, Model
from triroute.engine.span import Branch
from triroute.engine.testing import tiny_checkpoint
from triroute.engine.training.torch_model import Part, TorchModel
from triroute.kernels.cpu.dense import from_bfloat16
from triroute.kernels.cpu.linear import Linear

CHAIN, MASKS = 21, 4


def dense(weights: Weights) -> Weights:
    """The same weights and cache in fp32, so that nothing rounds."""
    layers = tuple(
        type(layer)(
            layer.attention_norm,
            Linear.dense(layer.qkv.floats(), narrow=False),
            Linear.dense(layer.out.floats(), narrow=False),
            layer.mlp_norm,
            Linear.dense(layer.gate_up.floats(), narrow=False),
            Linear.dense(layer.down.floats(), narrow=False),
        )
        for layer in weights.layers
    )
    head = Linear.dense(weights.head.floats(), narrow=False)
    return Weights(weights.config, from_bfloat16(weights.embedding), layers, weights.norm, head)


def kernel_scores(weights: Weights, tokens: list[int]) -> np.ndarray:
    model = Model(weights, threads=1)
    block = Block(0, tokens, [0], [Branch(len(tokens) - 1, (model.mask_id,) * MASKS)])
    scores = model.run([block], model.new_cache(1), range(len(tokens) + MASKS)).copy()
    model.close()
    return scores


@torch.no_grad()
def torch_scores(weights: Weights, tokens: list[int], dtype: torch.dtype) -> np.ndarray:
    model, length = TorchModel(weights, dtype), len(tokens)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    stream = model.embedding[torch.tensor(tokens)].float()
    chain, past = model.run(stream, torch.arange(length), [Part(0, length, causal)])
    seen = torch.ones(MASKS, length + MASKS, dtype=torch.bool)
    masks = model.embedding[-1:].float().expand(MASKS, -1)
    branch, _ = model.run(masks, torch.arange(length, length + MASKS), [Part(0, MASKS, seen, past)])
    return functional.linear(torch.cat((chain, branch)), model.head).float().numpy()


def test_unpacked_weights_are_what_was_packed() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((40, 64), dtype=np.float32)
    quants = random.integers(0, 16, (40, 64), dtype=np.uint8)
    scale, minimum = (random.standard_normal((40, 2)).astype(np.float16).astype(np.float32) for _ in range(2))
    affine = quants * scale.repeat(32, axis=1) + minimum.repeat(32, axis=1)
    assert np.array_equal(Linear.int4(quants, scale, minimum).floats(), affine)
    assert np.array_equal(Linear.dense(weight, narrow=False).floats(), weight)
    assert np.abs(Linear.dense(weight, narrow=True).floats() / weight - 1).max() <= 2**-8
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    assert (np.abs(Linear.int8(weight).floats() - weight) <= step * 0.501).all()


def test_fp32_scores_equal_the_kernels() -> None:
    weights = dense(tiny_checkpoint(3).weights)
    tokens = np.random.default_rng(1).integers(0, 256, CHAIN).tolist()
    expected = kernel_scores(weights, tokens)
    assert np.abs(torch_scores(weights, tokens, torch.float32) - expected).max() < 1e-4 * expected.std()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_of_the_embedded_model(dtype: torch.dtype, embedded: Checkpoint) -> None:
    tokens = embedded.tokenizer.encode("The capital of France is Paris. The capital of Germany is Berlin and")
    expected, found = kernel_scores(embedded.weights, tokens), torch_scores(embedded.weights, tokens, dtype)
    # int8 activations move scores by about a tenth of their spread
    assert np.abs(found - expected).std() < 0.06 * expected.std()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.8


@pytest.fixture(scope="module")
def embedded() -> Checkpoint:
    from triroute.engine.checkpoints import default_checkpoint, load_checkpoint

    return load_checkpoint(default_checkpoint())
