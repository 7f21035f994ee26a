"""Linear layers whose rows do not depend on each other: the bits of row i are the same for any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

INT4_GROUP = 32
_INT8_ROWS = 4
_OFFSET, _LOW_STEPS = 128, 254
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
    """int8 weights with one scale per output, bf16 activations in two int8 digits, fp32 result.

    A row becomes `unit * (high + low / 254)` with whole numbers of at most 127: 15 bits, more than bf16 has. Products
    of whole numbers are exact in any order, so rows are independent by arithmetic. `weight` is packed by oneDNN.
    """

    weight: Tensor
    scale: Tensor
    ones: Tensor
    zeros: Tensor

    @classmethod
    def quantize(cls, weight: Tensor) -> Int8Linear | Int8Bf16Linear:
        """From float weights [out, in], to the nearest of 255 levels per output.

        A CPU whose int8 products saturate, or a PyTorch without oneDNN, gets the bf16 operator.
        """
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        quants = (weight / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8)
        if not _int8_is_exact():
            return Int8Bf16Linear(quants.contiguous(), scale.to(torch.bfloat16))
        return cls.pack(quants, scale)

    @classmethod
    def pack(cls, quants: Tensor, scale: Tensor) -> Int8Linear:
        """From quants [out, in] and scales [out]."""
        packed = torch.ops.onednn.qlinear_prepack(quants, None)
        return cls(packed, scale, torch.ones(len(scale)), torch.zeros(len(scale), dtype=torch.int64))

    def __call__(self, x: Tensor) -> Tensor:
        unit = (x.abs().amax(dim=1, keepdim=True).float() / 127).clamp_min_(1e-30)
        digits = x.float() / unit
        high = digits.round()
        low = digits.sub_(high).mul_(_LOW_STEPS).round_()
        whole = self.products(torch.cat([high, low]).add_(_OFFSET).to(torch.uint8))
        return torch.add(whole[: len(x)], whole[len(x) :], alpha=1 / _LOW_STEPS).mul_(unit).mul_(self.scale)

    def products(self, digits: Tensor) -> Tensor:
        """`(digits - 128) @ quants.T` for uint8 digits [rows, in], as whole numbers in fp32 [rows, out]."""
        whole: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            digits, 1.0, _OFFSET, self.weight, self.ones, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return whole


@cache
def _int8_is_exact() -> bool:
    """Whether oneDNN is there and its products of the largest numbers do not saturate."""
    extreme = torch.full((64, 64), 127, dtype=torch.int8)
    try:
        linear = Int8Linear.pack(extreme, torch.ones(64))
        largest = linear.products(torch.full((2, 64), 255, dtype=torch.uint8))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return bool((largest == 64.0 * 127 * 127).all())


@dataclass(frozen=True, slots=True)
class Int8Bf16Linear:
    """The same weights through PyTorch's bf16 operator, four rows at a time: it is fastest there."""

    weight: Tensor
    scale: Tensor

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
