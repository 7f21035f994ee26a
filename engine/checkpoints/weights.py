"""What every checkpoint format becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.engine.adapters import DraftAdapter
from triroute.engine.config import ModelConfig
from triroute.engine.errors import CheckpointError
from triroute.engine.tokenizer import Tokenizer
from triroute.kernels.cpu.linear import Linear


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block. `qkv` gives queries, keys, values in one row; `gate_up` the two halves of SwiGLU."""

    attention_norm: NDArray[np.float32]
    qkv: Linear
    out: Linear
    mlp_norm: NDArray[np.float32]
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's parameters. `embedding` is [vocab + 1, hidden]; its last row stands for a masked token.

    It is fp32, or bf16 kept as uint16, and the cache is of the same kind. Raises CheckpointError for sizes that the
    kernels can't run.
    """

    config: ModelConfig
    embedding: NDArray[Any]
    layers: tuple[Layer, ...]
    norm: NDArray[np.float32]
    head: Linear

    def __post_init__(self) -> None:
        config = self.config
        for name, size, step in (
            ("hidden size", config.hidden, 32),
            ("intermediate size", config.intermediate, 32),
            ("attention width", config.heads * config.head_dim, 32),
            ("head size", config.head_dim, 16),
        ):
            if size % step:
                raise CheckpointError(f"{name} {size} is not a multiple of {step}; this model can't run here")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint file."""

    path: Path
    name: str
    sha256: str
    weights: Weights
    tokenizer: Tokenizer
    chat_template: str | None
    adapter: DraftAdapter | None = None
