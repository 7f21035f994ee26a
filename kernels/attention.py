"""Grouped-query attention whose rows do not depend on each other.

`scaled_dot_product_attention` picks its blocking, and so its order of summation, by the number of query rows and of
keys. Both are therefore fixed by a row's own position: rows run in tiles of TILE tokens (their grouped heads are
the rows of the call), and together only with rows that see the same number of keys, rounded up to KEY_STEP.
Measured with PyTorch 2.13 on CPU: rounding by the widest row of the pass is not enough, since 192 keys and 256 keys
(64 of them masked) differ in the last bit of one row in three hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

TILE = 4
KEY_STEP = 64


def round_keys(keys: int) -> int:
    """The number of keys that a row with `keys` visible ones reads."""
    return -(-keys // KEY_STEP) * KEY_STEP


class Attention:
    """The attention of one sequence's rows in one pass, arranged once for all layers.

    Row i sees the keys 0..`limits[i]`. `cache` is [layers, 2 (key, value), kv_heads, tokens, head_dim], the
    sequence's own part of it.
    """

    def __init__(self, limits: Sequence[int], cache: Tensor, heads: int) -> None:
        self.parts = []
        row = 0
        for keys, members in groupby(limits, lambda limit: round_keys(limit + 1)):
            part = list(members)
            self.parts.append((slice(row, row + len(part)), _Part(part, cache[:, :, :, :keys], heads)))
            row += len(part)

    def __call__(self, queries: Tensor, layer: int) -> Tensor:
        """`queries` [rows, heads, head_dim] to [rows, heads * head_dim]."""
        if len(self.parts) == 1:
            return self.parts[0][1](queries, layer)
        return torch.cat([part(queries[rows], layer) for rows, part in self.parts])


class _Part:
    """Rows that read the same number of keys."""

    def __init__(self, limits: list[int], cache: Tensor, heads: int) -> None:
        _, _, kv_heads, keys, head_dim = cache.shape
        self.rows, group = len(limits), heads // kv_heads
        self.tiles = -(-self.rows // TILE)
        self.padding = self.tiles * TILE - self.rows
        shared = cache.unsqueeze(2).expand(-1, -1, self.tiles, -1, -1, -1)
        self.keys, self.values = shared[:, 0].unbind(0), shared[:, 1].unbind(0)
        self.mask = _mask(limits, self.padding, keys, group, cache.dtype)
        self.queries = torch.zeros(self.tiles, kv_heads, TILE * group, head_dim, dtype=cache.dtype)
        self.slots = self.queries.view(self.tiles, kv_heads, TILE, group, head_dim).transpose(1, 2)
        self.one = self.slots[0, : self.rows] if self.tiles == 1 else None

    def __call__(self, queries: Tensor, layer: int) -> Tensor:
        """`queries` [rows, heads, head_dim] to [rows, heads * head_dim]."""
        if self.one is not None:
            self.one.copy_(queries.view(self.one.shape))
        else:
            if self.padding:
                queries = torch.nn.functional.pad(queries, (0, 0, 0, 0, 0, self.padding))
            self.slots.copy_(queries.view(self.slots.shape))
        mixed = torch._scaled_dot_product_flash_attention_for_cpu(
            self.queries, self.keys[layer], self.values[layer], attn_mask=self.mask
        )[0]
        tokens = mixed.view(self.tiles, -1, TILE, *self.slots.shape[3:]).transpose(1, 2)
        if self.one is not None:
            return tokens[0, : self.rows].reshape(self.rows, -1)
        return tokens.reshape(self.tiles * TILE, -1)[: self.rows]


def _mask(limits: list[int], padding: int, keys: int, group: int, dtype: torch.dtype) -> Tensor:
    """Additive mask [tiles, 1, TILE * group, keys]. Padded rows see key 0: a row that sees none would be NaN."""
    seen = torch.tensor(limits + [0] * padding).repeat_interleave(group).view(-1, 1, TILE * group, 1)
    hidden = torch.arange(keys) > seen
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
