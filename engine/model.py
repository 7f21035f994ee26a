"""The Llama-family transformer over a ragged pass: spans of many sequences, one forward.

Every operator is row-invariant (kernels/), so a row's bits depend on its token, position and visible keys alone:
not on the other rows, the width of the pass, nor how the cache came to be filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import silu

from triroute.engine.checkpoints.weights import Layer, Weights
from triroute.kernels.attention import Attention
from triroute.kernels.rotary import rotary_table, rotate, spread


@dataclass(frozen=True, slots=True)
class Block:
    """One sequence's rows of a pass.

    Row i holds `tokens[i]` at position `start + i` and sees the keys 0..`limits[i]` of its sequence, whose cache
    begins at `offset`. Its keys are written at `offset + start + i`.
    """

    tokens: Sequence[int]
    start: int
    limits: Sequence[int]
    offset: int


class Model:
    """Runs passes. Holds weights and rotary tables, and nothing of any request."""

    def __init__(self, weights: Weights) -> None:
        self.config = weights.config
        self.weights = weights
        self.dtype = weights.embedding.dtype
        config = weights.config
        self.cosine, self.sine = rotary_table(config.context_length, config.head_dim, config.rope_base, self.dtype)

    @property
    def mask_id(self) -> int:
        """The token id that stands for a masked slot."""
        return self.config.vocab

    def new_cache(self, tokens: int) -> Tensor:
        """An empty cache [layers, 2 (key, value), kv_heads, tokens, head_dim]; finite, since masked keys are read."""
        config = self.config
        return torch.zeros(config.layers, 2, config.kv_heads, tokens, config.head_dim, dtype=self.dtype)

    @torch.inference_mode()
    def forward(self, blocks: Sequence[Block], cache: Tensor) -> Tensor:
        """Last hidden states [rows, hidden] of all blocks' rows, in order. Writes every row's key and value."""
        arranged = _Arrangement(self, blocks, cache)
        hidden = self.weights.embedding[arranged.tokens]
        for index, layer in enumerate(self.weights.layers):
            hidden = self._layer(index, layer, hidden, arranged)
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Scores [rows, vocab] of hidden states [rows, hidden]."""
        return self.weights.head(self.weights.norm(hidden))

    def _layer(self, index: int, layer: Layer, hidden: Tensor, arranged: _Arrangement) -> Tensor:
        qkv = layer.qkv(layer.attention_norm(hidden)).view(arranged.cosine.shape)
        turned = rotate(qkv, arranged.cosine, arranged.sine)
        hidden = layer.out(arranged.attend(turned, index)).add_(hidden)
        gate, up = layer.gate_up(layer.mlp_norm(hidden)).split(self.config.intermediate, dim=-1)
        return layer.down(silu(gate).mul_(up)).add_(hidden)


class _Arrangement:
    """The index work of a pass, done once for all layers."""

    def __init__(self, model: Model, blocks: Sequence[Block], cache: Tensor) -> None:
        config = model.config
        self.heads, self.shape = config.heads, (-1, 2, config.kv_heads, config.head_dim)
        self.tokens = torch.tensor([token for block in blocks for token in block.tokens])
        positions = torch.tensor([block.start + i for block in blocks for i in range(len(block.tokens))])
        cosine, sine = model.cosine[positions], model.sine[positions]
        self.cosine, self.sine = spread(cosine, sine, config.heads + config.kv_heads, config.kv_heads)
        self.parts = []
        row = 0
        for block in blocks:
            width, first = len(block.tokens), block.offset + block.start
            written = cache[:, :, :, first : first + width].permute(0, 3, 1, 2, 4).unbind(0)
            attention = Attention(block.limits, cache[:, :, :, block.offset :], config.heads)
            self.parts.append((slice(row, row + width), written, attention))
            row += width

    def attend(self, heads: Tensor, layer: int) -> Tensor:
        """Write the rows' keys and values, then attend: [rows, heads, head_dim] to [rows, heads * head_dim]."""
        queries, pairs = heads[:, : self.heads], heads[:, self.heads :].view(self.shape)
        mixed = []
        for rows, written, attention in self.parts:
            written[layer].copy_(pairs[rows])
            mixed.append(attention(queries[rows], layer))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
