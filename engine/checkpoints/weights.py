"""What every checkpoint format becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from triroute.engine.config import ModelConfig
from triroute.engine.tokenizer import Tokenizer
from triroute.kernels.linear import Linear
from triroute.kernels.norm import RMSNorm


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block. `qkv` gives queries, keys, values in one row; `gate_up` the two halves of SwiGLU."""

    attention_norm: RMSNorm
    qkv: Linear
    out: Linear
    mlp_norm: RMSNorm
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's parameters. `embedding` is [vocab + 1, hidden]; its last row stands for a masked token."""

    config: ModelConfig
    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: RMSNorm
    head: Linear


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint file."""

    path: Path
    name: str
    sha256: str
    weights: Weights
    tokenizer: Tokenizer
    chat_template: str | None
