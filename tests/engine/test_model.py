"""Our transformer against Hugging Face's, and the int4 model against its own dequantised weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from triroute.engine.checkpoints import default_checkpoint
from triroute.engine.checkpoints.gguf import GGUFFile
from triroute.engine.checkpoints.weights import Layer, Weights
from triroute.engine.config import ModelConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import CheckpointError
from triroute.engine.model import Block, Model
from triroute.engine.span import Branch, Fork
from triroute.engine.testing import tiny_checkpoint
from triroute.kernels.cpu.linear import Linear

TOKENS = 70


def _ours(theirs: LlamaForCausalLM) -> Model:
    config = theirs.config
    state = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    sizes = ModelConfig(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.hidden_size // config.num_attention_heads,
        vocab=config.vocab_size,
        context_length=256,
        rope_base=config.rope_parameters["rope_theta"],
        norm_eps=config.rms_norm_eps,
    )

    def linear(index: int, *names: str) -> Linear:
        parts = [state[f"model.layers.{index}.{name}.weight"] for name in names]
        return Linear.dense(np.concatenate(parts), narrow=False)

    def norm(name: str) -> NDArray[np.float32]:
        weight: NDArray[np.float32] = state[f"model.{name}.weight"]
        return weight

    layers = tuple(
        Layer(
            norm(f"layers.{i}.input_layernorm"),
            linear(i, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            linear(i, "self_attn.o_proj"),
            norm(f"layers.{i}.post_attention_layernorm"),
            linear(i, "mlp.gate_proj", "mlp.up_proj"),
            linear(i, "mlp.down_proj"),
        )
        for i in range(sizes.layers)
    )
    embedding = state["model.embed_tokens.weight"]
    rows = np.concatenate([embedding, embedding.mean(0, keepdims=True)])
    head = Linear.dense(state["lm_head.weight"], narrow=False)
    return Model(Weights(sizes, rows, layers, norm("norm"), head), threads=2)


def _logits(model: Model, tokens: list[int], chunks: list[int]) -> torch.Tensor:
    """Logits of every token, prefilled in chunks."""
    cache, done, parts = model.new_cache(2), 0, []
    for chunk in chunks:
        block = Block(done, tokens[done : done + chunk], [1, 0])
        parts.append(torch.from_numpy(model.run([block], cache, range(chunk)).copy()))
        done += chunk
    return torch.cat(parts)


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_equals_hugging_face(kv_heads: int) -> None:
    torch.manual_seed(kv_heads)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=96,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=kv_heads,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
    )
    theirs = LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, 97, (TOKENS,)).tolist()
    with torch.inference_mode():
        expected = theirs(torch.tensor([tokens])).logits[0]
    for chunks in ([TOKENS], [1] * TOKENS, [64, 5, 1]):
        torch.testing.assert_close(_logits(_ours(theirs), tokens, chunks), expected, atol=1e-4, rtol=1e-4)


def test_spans_of_several_sequences_do_not_mix(tiny_engine: Engine) -> None:
    model = tiny_engine.model
    first, second = list(range(10, 40)), list(range(50, 57))
    blocks = [Block(0, first, [3]), Block(0, second, [1])]
    together = model.run(blocks, model.new_cache(4), range(30, 37)).copy()
    alone = model.run([Block(0, second, [0])], model.new_cache(1), range(7))
    assert np.array_equal(together, alone)


def test_a_branch_sees_the_chain_up_to_where_it_hangs(tiny_engine: Engine) -> None:
    """Two branches behind one chain give what each gives alone behind its own part of it."""
    model, chain, tokens = tiny_engine.model, list(range(10, 22)), (7, 8, 9)
    block = Block(0, chain, [2, 0], (Branch(4, tokens), Branch(11, tokens)))
    both = model.run([block], model.new_cache(3), range(18)).copy()
    for after, first in ((5, 12), (12, 15)):
        alone = model.run(
            [Block(0, chain[:after], [0], (Branch(after - 1, tokens),))], model.new_cache(1), range(after + 3)
        )
        assert np.array_equal(both[first : first + 3], alone[after:])
        assert np.array_equal(both[:after], alone[:after]), "the chain does not see branches"


def test_a_fork_is_as_exact_as_a_chain(tiny_engine: Engine) -> None:
    """Every path through a tree of forks, across pages, gives the bits that a chain of its tokens gives."""
    model, chain = tiny_engine.model, list(range(10, 72))
    forks = (Fork(59, 7), Fork(62, 8), Fork(62, 9), Fork(64, 5), Fork(61, 7), Fork(66, 8))
    masks = (Branch(65, (3, 3)), Branch(60, (4,)))
    together = model.run([Block(0, chain, [1, 0], masks, forks)], model.new_cache(2), range(71)).copy()
    for row, path in {62: (7,), 64: (7, 9), 65: (7, 9, 5)}.items():
        alone = model.run([Block(0, chain[:60] + list(path), [0])], model.new_cache(1), [59 + len(path)])
        assert np.array_equal(together[row], alone[0])
    alone = model.run([Block(0, [*chain, 7, 8], [0])], model.new_cache(1), [62, 63])
    assert np.array_equal(together[[66, 67]], alone)
    behind = Block(0, [*chain[:60], 7, 9, 5], [0, 1], (Branch(62, (3, 3)),))
    assert np.array_equal(together[68:70], model.run([behind], model.new_cache(2), [63, 64]))


def test_sizes_that_the_kernels_can_not_run(tiny_engine: Engine) -> None:
    weights = tiny_checkpoint().weights
    with pytest.raises(CheckpointError, match="head size 20 is not a multiple of 16"):
        replace(weights, config=replace(weights.config, heads=8, head_dim=20))


def test_int4_agrees_with_its_dequantised_weights(engine: Engine) -> None:
    """Where bf16 sees a clear margin, int4 picks the same token."""
    path = default_checkpoint()
    reference = _dequantised(path)
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of France is"
    tokens = engine.tokenizer.encode(text, special=True)
    with torch.inference_mode():
        expected = _logits(reference, tokens, [len(tokens)]).float()
    ours = _logits(engine.model, tokens, [len(tokens)]).float()
    top = expected.topk(2).values
    clear = (top[:, 0] - top[:, 1]) > 0.75
    assert clear.sum() >= 10
    assert torch.equal(ours.argmax(-1)[clear], expected.argmax(-1)[clear])


def _dequantised(path: Path) -> Model:
    file = GGUFFile(gguf.GGUFReader(path), dense=True)
    return Model(file.weights(file.config()), threads=2)
