"""GGUF files (ggml's single-file format) of the Llama architecture, with Q4_1, Q8_0 and float tensors.

Q4_1 blocks (32 quants of 4 bits, fp16 scale and minimum) map to the int4 kernel without being requantised.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from triroute.engine.checkpoints.weights import Checkpoint, Layer, Weights
from triroute.engine.config import ModelConfig
from triroute.engine.errors import CheckpointError
from triroute.engine.tokenizer import Tokenizer
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.linear import Linear

_Q4_1_BYTES = 20
_SLICE = 4096  # rows of a large tensor that are dequantised at once


def load_gguf(path: Path, sha256: str) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError when the file is damaged or of another kind."""
    try:
        reader = gguf.GGUFReader(path)
    except Exception as error:  # the reader raises whatever a damaged header leads it into
        raise CheckpointError(f"{path} is not a readable GGUF file: {error}; download it again") from error
    try:
        file = GGUFFile(reader)
        config = file.config()
        tokenizer = Tokenizer.from_gguf(reader)
        return Checkpoint(path, path.stem, sha256, file.weights(config), tokenizer, file.template())
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete: {error}; download it again") from error


class GGUFFile:
    """Names and layouts of one GGUF file. `dense` dequantises to bf16 whatever could stay packed."""

    def __init__(self, reader: gguf.GGUFReader, *, dense: bool = False) -> None:
        self.dense = dense
        self.fields = reader.fields
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.architecture = str(self.field("general.architecture"))
        if self.architecture != "llama":
            raise CheckpointError(f"architecture {self.architecture!r} is not supported; Triroute runs 'llama'")

    def field(self, name: str) -> Any:
        if name not in self.fields:
            raise KeyError(f"metadata {name} is missing")
        return self.fields[name].contents()

    def template(self) -> str | None:
        key = "tokenizer.chat_template"
        return str(self.fields[key].contents()) if key in self.fields else None

    def config(self) -> ModelConfig:
        arch = self.architecture
        hidden, heads = int(self.field(f"{arch}.embedding_length")), int(self.field(f"{arch}.attention.head_count"))
        return ModelConfig(
            layers=int(self.field(f"{arch}.block_count")),
            hidden=hidden,
            intermediate=int(self.field(f"{arch}.feed_forward_length")),
            heads=heads,
            kv_heads=int(self.field(f"{arch}.attention.head_count_kv")),
            head_dim=hidden // heads,
            vocab=int(self.tensor("token_embd.weight").shape[1]),
            context_length=int(self.field(f"{arch}.context_length")),
            rope_base=float(self.field(f"{arch}.rope.freq_base")),
            norm_eps=float(self.field(f"{arch}.attention.layer_norm_rms_epsilon")),
        )

    def tensor(self, name: str) -> Any:
        if name not in self.tensors:
            raise KeyError(f"tensor {name} is missing")
        return self.tensors[name]

    def weights(self, config: ModelConfig) -> Weights:
        layers = tuple(self.layer(index, config) for index in range(config.layers))
        head = self.head("output.weight" if "output.weight" in self.tensors else "token_embd.weight")
        return Weights(config, self.embedding(config), layers, self.floats("output_norm.weight"), head)

    def embedding(self, config: ModelConfig) -> NDArray[np.uint16]:
        """bf16 [vocab + 1, hidden]; the mask is the mean of all tokens."""
        rows = np.empty((config.vocab + 1, config.hidden), dtype=np.uint16)
        total = np.zeros(config.hidden, dtype=np.float64)
        for start, part in self.slices("token_embd.weight"):
            rows[start : start + len(part)] = to_bfloat16(part)
            total += part.sum(axis=0, dtype=np.float64)
        rows[-1] = to_bfloat16((total / config.vocab).astype(np.float32))
        return rows

    def head(self, name: str) -> Linear:
        if self.dense:
            return Linear.dense(self.floats(name), narrow=True)
        return Linear.stacked(Linear.int8(part) for _, part in self.slices(name))

    def layer(self, index: int, config: ModelConfig) -> Layer:
        def linear(*names: str) -> Linear:
            return self.linear([f"blk.{index}.{name}.weight" for name in names], config)

        return Layer(
            attention_norm=self.floats(f"blk.{index}.attn_norm.weight"),
            qkv=linear("attn_q", "attn_k", "attn_v"),
            out=linear("attn_output"),
            mlp_norm=self.floats(f"blk.{index}.ffn_norm.weight"),
            gate_up=linear("ffn_gate", "ffn_up"),
            down=linear("ffn_down"),
        )

    def linear(self, names: list[str], config: ModelConfig) -> Linear:
        """The layer whose outputs are those of the named tensors, one after the other."""
        packed = all(self.tensor(name).tensor_type == gguf.GGMLQuantizationType.Q4_1 for name in names)
        if packed and not self.dense:
            parts = [_pair_halves(name, self.affine(name), config) for name in names]
            quants, scale, minimum = (np.concatenate(column) for column in zip(*parts, strict=True))
            return Linear.int4(quants, scale, minimum)
        dense = [_pair_halves(name, (self.floats(name),), config)[0] for name in names]
        return Linear.dense(np.concatenate(dense), narrow=True)

    def floats(self, name: str) -> NDArray[np.float32]:
        tensor = self.tensor(name)
        numbers: NDArray[np.float32] = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        return numbers

    def slices(self, name: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """A large tensor in parts of some rows: where each begins, and its numbers."""
        tensor = self.tensor(name)
        for start in range(0, len(tensor.data), _SLICE):
            part = gguf.dequantize(tensor.data[start : start + _SLICE], tensor.tensor_type)
            yield start, part.astype(np.float32, copy=False)

    def affine(self, name: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Quants [out, in] in 0..15, scale and minimum [out, in/32] of a Q4_1 tensor."""
        data: NDArray[np.uint8] = self.tensor(name).data
        blocks = data.reshape(data.shape[0], -1, _Q4_1_BYTES)
        ends = blocks[:, :, :4].copy().view(np.float16).astype(np.float32)
        nibbles = blocks[:, :, 4:]
        quants = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).reshape(data.shape[0], -1)
        return quants, ends[:, :, 0], ends[:, :, 1]


def _pair_halves(name: str, parts: tuple[NDArray[Any], ...], config: ModelConfig) -> tuple[NDArray[Any], ...]:
    """GGUF's Llama interleaves the rotary pairs of queries and keys; we keep them as halves, as Hugging Face does."""
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[2])
    if heads is None:
        return parts
    return tuple(part.reshape(heads, config.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(part.shape) for part in parts)
