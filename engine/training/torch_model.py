"""The engine's transformer in PyTorch, with gradients: same weights, same layouts.

Its rows see keys and values that were computed before (`past`) and, as far as a mask says, each other. An adapter
applies to all rows of a call: calls for chain rows pass none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from triroute.engine.adapters import TARGETS
from triroute.engine.checkpoints.weights import Weights
from triroute.kernels.cpu.dense import from_bfloat16
from triroute.kernels.cpu.rows import rotary_table

CPU = torch.device("cpu")
NORMS = ("attention_norm", "mlp_norm")

Pairs = Sequence[Mapping[str, tuple[Tensor, Tensor]]]  # a layer's targets: a [rank, in], b [out, rank]
KeysValues = Sequence[tuple[Tensor, Tensor]]  # a layer's keys and values [kv_heads, tokens, head_dim]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows `first` to `last` of a call, all of one sequence. `seen` bool [rows, tokens of past + rows]."""

    first: int
    last: int
    seen: Tensor
    past: KeysValues | None = None


class TorchModel:
    """Weights in `dtype`, frozen until others are used; the residual stream, norms, angles and softmax are fp32."""

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.bfloat16, device: torch.device = CPU) -> None:
        self.config = config = weights.config
        self.dtype, self.device = dtype, device
        cosine, sine = rotary_table(config.context_length, config.head_dim, config.rope_base)
        self.cosine, self.sine = (torch.from_numpy(table).to(self.device) for table in (cosine, sine))
        self.use(tensors_of(weights))

    def use(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Take these weights, named as by `tensors_of`; gradients of what is run then reach them."""
        named = {
            name: tensor.to(self.device, torch.float32 if name.endswith("norm") else self.dtype)
            for name, tensor in tensors
        }
        self.embedding, self.norm, self.head = named["embedding"], named["norm"], named["head"]
        self.layers = [
            {name: named[f"layers.{index}.{name}"] for name in (*TARGETS, *NORMS)}
            for index in range(self.config.layers)
        ]

    def run(
        self, stream: Tensor, positions: Tensor, parts: Sequence[Part], pairs: Pairs | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """What goes into the head [rows, hidden], and each layer's keys and values [kv_heads, rows, head_dim].

        `stream` holds the rows' embeddings, fp32 [rows, hidden].
        """
        config, made = self.config, []
        cosine, sine = self.cosine[positions][:, None], self.sine[positions][:, None]
        for index, weights in enumerate(self.layers):
            pair = pairs[index] if pairs is not None else {}
            x = self._normalize(stream, weights["attention_norm"])
            qkv = self._linear(x, weights, pair, "qkv").view(len(x), -1, config.head_dim)
            queries, keys, values = qkv.split((config.heads, config.kv_heads, config.kv_heads), dim=1)
            queries = self._rotate(queries, cosine, sine)
            keys, values = self._rotate(keys, cosine, sine).transpose(0, 1), values.transpose(0, 1)
            made.append((keys, values))
            mixed = [self._attend(queries, keys, values, part, index) for part in parts]
            stream = stream + self._linear(torch.cat(mixed), weights, pair, "out")
            gate, up = self._linear(self._normalize(stream, weights["mlp_norm"]), weights, pair, "gate_up").chunk(
                2, dim=-1
            )
            stream = stream + self._linear(functional.silu(gate) * up, weights, pair, "down")
        return self._normalize(stream, self.norm), made

    def _normalize(self, stream: Tensor, weight: Tensor) -> Tensor:
        normal: Tensor = functional.rms_norm(stream, weight.shape, weight, self.config.norm_eps)
        return normal.to(self.dtype)

    def _linear(
        self, x: Tensor, weights: Mapping[str, Tensor], pair: Mapping[str, tuple[Tensor, Tensor]], name: str
    ) -> Tensor:
        y = functional.linear(x, weights[name])
        if name not in pair:
            return y
        a, b = pair[name]
        return y + functional.linear(functional.linear(x, a), b)

    def _rotate(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Turn the halves of each head (Su et al., arXiv:2104.09864)."""
        left, right = x.float().chunk(2, dim=-1)
        turned = torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)
        return turned.to(self.dtype)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, part: Part, layer: int) -> Tensor:
        """Attention of a part's rows [rows, heads * head_dim]; query heads of a key's group are rows of one product."""
        config, rows = self.config, part.last - part.first
        own = slice(part.first, part.last)
        keys, values = keys[:, own], values[:, own]
        if part.past is not None:
            keys = torch.cat((part.past[layer][0], keys), dim=1)
            values = torch.cat((part.past[layer][1], values), dim=1)
        grouped = queries[own].view(rows, config.kv_heads, config.group, -1).permute(1, 2, 0, 3)
        scores = grouped.reshape(config.kv_heads, config.group * rows, -1) @ keys.transpose(1, 2)
        scores = scores.float().view(config.kv_heads, config.group, rows, -1) * config.head_dim**-0.5
        weights = scores.masked_fill(~part.seen, float("-inf")).softmax(dim=-1).to(self.dtype)
        mixed: Tensor = weights.view(config.kv_heads, config.group * rows, -1) @ values
        return mixed.view(config.kv_heads, config.group, rows, -1).permute(2, 0, 1, 3).reshape(rows, -1)


def tensors_of(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    """A model's weights by name, fp32: embedding [vocab + 1, hidden], head, norm, each layer's own."""
    table = weights.embedding
    yield "embedding", _tensor(from_bfloat16(table) if table.dtype == np.uint16 else table)
    for index, layer in enumerate(weights.layers):
        for name in TARGETS:
            yield f"layers.{index}.{name}", _tensor(getattr(layer, name).floats())
        for name in NORMS:
            yield f"layers.{index}.{name}", _tensor(getattr(layer, name))
    yield "norm", _tensor(weights.norm)
    yield "head", _tensor(weights.head.floats())


def _tensor(numbers: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(numbers, order="C"))
