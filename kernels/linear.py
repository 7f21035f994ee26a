"""Linear layers whose rows do not depend on each other: the bits of row i are the same for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

INT4_GROUP = 32
_INT8_ROWS = 4
_DENSE_ROWS = 8


class Linear(Protocol):
    """`x` [rows, in] to [rows, out], row-invariant."""

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Int4Linear:
    """bf16 activations, affine int4 weights in groups of 32 along the inputs.

    `weight` is what `_convert_weight_to_int4pack_for_cpu` packs, `scales_and_zeros` is bf16 [in/32, out, 2];
    a weight is `(q - 8) * scale + zero`.
    """

    weight: Tensor
    scales_and_zeros: Tensor

    @classmethod
    def pack(cls, quants: Tensor, scale: Tensor, minimum: Tensor) -> Int4Linear:
        """From quants [out, in] in 0..15 and scale, minimum [out, in/32], where a weight is `q * scale + minimum`."""
        weight = torch._convert_weight_to_int4pack_for_cpu(quants.to(torch.int32), 1)
        pairs = torch.stack([scale, minimum + 8 * scale], dim=-1)
        return cls(weight, pairs.transpose(0, 1).to(torch.bfloat16).contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int4pack_mm_for_cpu(x, self.weight, INT4_GROUP, self.scales_and_zeros)


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """bf16 activations, int8 weights [out, in] with one bf16 scale per output.

    Runs four rows at a time: the operator is fastest there, and equal in every width up to it.
    """

    weight: Tensor
    scale: Tensor

    @classmethod
    def quantize(cls, weight: Tensor) -> Int8Linear:
        """From float weights [out, in], to the nearest of 255 levels per output."""
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        quants = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8)
        return cls(quants.contiguous(), scale.to(torch.bfloat16))

    def __call__(self, x: Tensor) -> Tensor:
        multiply = torch._weight_int8pack_mm
        if x.shape[0] <= _INT8_ROWS:
            return multiply(x, self.weight, self.scale)
        return torch.cat([multiply(rows, self.weight, self.scale) for rows in x.split(_INT8_ROWS)])


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """bf16 or fp32 weights [out, in].

    fp32 rows change with the width of the call on CPU, so rows go through in padded tiles of eight.
    """

    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        padded = torch.nn.functional.pad(x, (0, 0, 0, -rows % _DENSE_ROWS))
        tiles = [torch.nn.functional.linear(tile, self.weight) for tile in padded.split(_DENSE_ROWS)]
        return (tiles[0] if len(tiles) == 1 else torch.cat(tiles))[:rows]
