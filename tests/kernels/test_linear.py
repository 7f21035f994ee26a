"""The packed operators compute what their blocks say."""

from __future__ import annotations

import torch

from triroute.kernels.linear import DenseLinear, Int4Linear, Int8Linear


def test_int4_is_affine_in_groups() -> None:
    torch.manual_seed(0)
    quants = torch.randint(0, 16, (64, 96), dtype=torch.uint8)
    scale, minimum = torch.rand(64, 3) * 0.1, -torch.rand(64, 3)
    x = torch.randn(3, 96).bfloat16()
    weight = quants * scale.repeat_interleave(32, 1) + minimum.repeat_interleave(32, 1)
    torch.testing.assert_close(
        Int4Linear.pack(quants, scale, minimum)(x).float(), x.float() @ weight.T, atol=0.25, rtol=0.02
    )


def test_int8_is_close() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(64, 96), torch.randn(9, 96).bfloat16()
    torch.testing.assert_close(Int8Linear.quantize(weight)(x).float(), x.float() @ weight.T, atol=0.4, rtol=0.03)


def test_dense_pads_and_cuts() -> None:
    weight, x = torch.randn(5, 7), torch.randn(19, 7)
    torch.testing.assert_close(DenseLinear(weight)(x), x @ weight.T)
