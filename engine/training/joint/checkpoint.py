"""A jointly trained checkpoint as files: safetensors under Hugging Face's Llama names, and its config.json.

`model.safetensors` holds bf16; `mask_embedding` [hidden] is ours, and no part of a Llama. Metadata names the format,
the model's sizes, and what it was trained from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from triroute.engine.checkpoints.weights import Layer, Weights
from triroute.engine.config import ModelConfig
from triroute.engine.errors import CheckpointError
from triroute.engine.training.files import write_bytes
from triroute.engine.training.joint.trainer import JointTrainer
from triroute.engine.training.state import describe
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.linear import Linear

FORMAT = "triroute-joint-checkpoint-1"
FILE = "model.safetensors"


def export(folder: Path, trainer: JointTrainer, checkpoint_sha256: str) -> None:
    """Write both files. Raises TrainingError."""
    config = trainer.model.config
    tensors = {name: value.to(torch.bfloat16) for name, value in _named(trainer.parameters, config).items()}
    metadata = {
        "format": "pt",  # Hugging Face reads no other
        "triroute_format": FORMAT,
        "config": json.dumps(asdict(config)),
        "checkpoint_sha256": checkpoint_sha256,
        "block_length": str(trainer.recipe.block_length),
        "steps": str(trainer.updates.steps),
        "seed": str(trainer.recipe.seed),
        "recipe": describe(trainer.recipe),
    }
    write_bytes(folder / FILE, save(tensors, metadata))
    write_bytes(folder / "config.json", (json.dumps(_llama(config), indent=2) + "\n").encode())


def load(path: Path) -> Weights:
    """The weights of an exported file, as the engine runs them. Raises CheckpointError, which says what to do."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name).float().numpy() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} can't be read: {error}; copy or train it again") from error
    if metadata.get("triroute_format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
    try:
        config = ModelConfig(**json.loads(metadata["config"]))
        return _weights(tensors, config)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy or train it again") from error


def _named(parameters: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our layout to Hugging Face's: what we keep in one matrix is several there."""
    embedding = parameters["embedding"].detach().cpu()
    named = {
        "model.embed_tokens.weight": embedding[:-1],
        "mask_embedding": embedding[-1],
        "model.norm.weight": parameters["norm"].detach().cpu(),
        "lm_head.weight": parameters["head"].detach().cpu(),
    }
    queries, others = config.heads * config.head_dim, config.kv_heads * config.head_dim
    for index in range(config.layers):
        layer = f"model.layers.{index}"

        def take(name: str, at: int = index) -> Tensor:
            return parameters[f"layers.{at}.{name}"].detach().cpu()

        for name, part in zip("qkv", take("qkv").split((queries, others, others)), strict=True):
            named[f"{layer}.self_attn.{name}_proj.weight"] = part
        for name, part in zip(("gate", "up"), take("gate_up").chunk(2), strict=True):
            named[f"{layer}.mlp.{name}_proj.weight"] = part
        named[f"{layer}.self_attn.o_proj.weight"] = take("out")
        named[f"{layer}.mlp.down_proj.weight"] = take("down")
        named[f"{layer}.input_layernorm.weight"] = take("attention_norm")
        named[f"{layer}.post_attention_layernorm.weight"] = take("mlp_norm")
    return {name: tensor.contiguous() for name, tensor in named.items()}


def _weights(tensors: Mapping[str, NDArray[np.float32]], config: ModelConfig) -> Weights:
    def linear(*names: str) -> Linear:
        return Linear.dense(np.concatenate([tensors[f"{name}_proj.weight"] for name in names]), narrow=True)

    def layer(name: str) -> Layer:
        return Layer(
            tensors[f"{name}.input_layernorm.weight"],
            linear(*(f"{name}.self_attn.{part}" for part in "qkv")),
            linear(f"{name}.self_attn.o"),
            tensors[f"{name}.post_attention_layernorm.weight"],
            linear(*(f"{name}.mlp.{part}" for part in ("gate", "up"))),
            linear(f"{name}.mlp.down"),
        )

    embedding = np.concatenate((tensors["model.embed_tokens.weight"], tensors["mask_embedding"][None]))
    layers = tuple(layer(f"model.layers.{index}") for index in range(config.layers))
    head = Linear.dense(tensors["lm_head.weight"], narrow=True)
    return Weights(config, to_bfloat16(embedding), layers, tensors["model.norm.weight"], head)


def _llama(config: ModelConfig) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab,
        "max_position_embeddings": config.context_length,
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
