"""Draft adapters: a low-rank pair for linears of mask rows, what a mask looks like, and a head that links drafts.

No PyTorch, no code in files.

The file is safetensors: `mask_embedding` [hidden] fp32, and for each layer i and adapted target t
`layers.{i}.{t}.a` [rank, in] and `layers.{i}.{t}.b` [out, rank] in bf16; a mask row's product gains `b @ (a @ x)`.
Where the width `hydra` of the metadata is not 0, `hydra.state`, `hydra.token` [width, hidden], `hydra.memory`
[width, width] and `hydra.out` [hidden, width] are those of `engine/hydra.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from triroute.engine.config import ModelConfig
from triroute.engine.errors import CheckpointError
from triroute.kernels.cpu.adapter import Adapter
from triroute.kernels.cpu.dense import from_bfloat16
from triroute.kernels.cpu.hydra import Head

FORMAT = "triroute-draft-adapter-1"
TARGETS = ("qkv", "out", "gate_up", "down")
_MOST_BYTES = 1 << 30

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class DraftAdapter:
    """A loaded adapter, from a file of this `sha256`.

    `layers[i]` holds a [rank, in] and b [out, rank], fp32, of each adapted target.

    Outputs are in the order and layout of the engine's weights. `block_length` is the one it was trained for. `hydra`
    has the matrices of `head_sizes`, or none.
    """

    path: Path
    sha256: str
    rank: int
    targets: tuple[str, ...]
    block_length: int
    mask_embedding: NDArray[np.float32]
    layers: tuple[Mapping[str, Pair], ...]
    hydra: Mapping[str, NDArray[np.float32]]
    metadata: Mapping[str, str]


def packed(adapter: DraftAdapter | None, layers: int) -> Adapter:
    """As the kernels take it, for a model of so many layers."""
    if adapter is None:
        return Adapter.none(layers * len(TARGETS))
    return Adapter.of([pairs.get(target) for pairs in adapter.layers for target in TARGETS])


def head(adapter: DraftAdapter | None) -> Head | None:
    """Its head, where it has one."""
    return Head.of(**adapter.hydra) if adapter is not None and adapter.hydra else None


def head_sizes(width: int, hidden: int) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each matrix of a head of such a width."""
    return {"state": (width, hidden), "token": (width, hidden), "memory": (width, width), "out": (hidden, width)}


def linear_sizes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each target."""
    attention = config.heads * config.head_dim
    return {
        "qkv": (attention + 2 * config.kv_heads * config.head_dim, config.hidden),
        "out": (config.hidden, attention),
        "gate_up": (2 * config.intermediate, config.hidden),
        "down": (config.hidden, config.intermediate),
    }


def load_adapter(path: Path, config: ModelConfig, checkpoint_sha256: str) -> DraftAdapter:
    """Read an adapter for a checkpoint. Raises CheckpointError, whose message says what to do."""
    metadata, tensors, sha256 = _read(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a draft adapter of format {FORMAT}; train one with `triroute train-adapter`"
        )
    if metadata.get("checkpoint_sha256") != checkpoint_sha256:
        raise CheckpointError(
            f"{path} was trained for another checkpoint (sha256 {metadata.get('checkpoint_sha256', 'unknown')[:12]}…, "
            f"this one is {checkpoint_sha256[:12]}…); train one for this checkpoint with `triroute train-adapter`"
        )
    try:
        rank, block_length = int(metadata["rank"]), int(metadata["block_length"])
        targets = tuple(metadata["targets"].split(","))
        embedding = _take(tensors, "mask_embedding", (config.hidden,))
        sizes = {target: linear_sizes(config)[target] for target in targets}
        layers = tuple(
            {
                target: (
                    _take(tensors, f"layers.{index}.{target}.a", (rank, inputs)),
                    _take(tensors, f"layers.{index}.{target}.b", (outputs, rank)),
                )
                for target, (outputs, inputs) in sizes.items()
            }
            for index in range(config.layers)
        )
        width = int(metadata.get("hydra", "0"))
        shapes = head_sizes(width, config.hidden) if width else {}
        hydra = {name: _take(tensors, f"hydra.{name}", shape) for name, shape in shapes.items()}
    except KeyError as error:
        raise CheckpointError(
            f"{path} is damaged: {error.args[0]} is missing or unknown; copy or train it again"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy or train it again") from error
    if tensors:
        raise CheckpointError(f"{path} has an unknown tensor {min(tensors)}; copy or train it again")
    return DraftAdapter(path, sha256, rank, targets, block_length, embedding, layers, hydra, metadata)


def _read(path: Path) -> tuple[dict[str, str], dict[str, NDArray[np.float32]], str]:
    """Metadata, tensors as fp32, and the file's digest. Raises CheckpointError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f"{path} is larger than 1 GiB, so no draft adapter")
        data = path.read_bytes()
        tensors = {name: _floats(name, fields) for name, fields in deserialize(data)}
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}; copy or train it again") from error
    return header.get("__metadata__", {}), tensors, hashlib.sha256(data).hexdigest()


def _floats(name: str, fields: Mapping[str, Any]) -> NDArray[np.float32]:
    """Raises ValueError."""
    kind, shape, data = fields["dtype"], fields["shape"], bytes(fields["data"])
    if kind == "BF16":
        return from_bfloat16(np.frombuffer(data, dtype=np.uint16)).reshape(shape)
    if kind == "F32":
        return np.frombuffer(data, dtype=np.float32).reshape(shape)
    raise ValueError(f"tensor {name} is {kind}, not BF16 or F32")


def _take(tensors: dict[str, NDArray[np.float32]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Raises KeyError or ValueError."""
    numbers = tensors.pop(name)
    if numbers.shape != shape:
        raise ValueError(f"tensor {name} has shape {list(numbers.shape)}, not {list(shape)}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"tensor {name} holds numbers that are not finite")
    return numbers
