"""The packed operators compute what their blocks say."""

from __future__ import annotations

import torch

from triroute.kernels.linear import DenseLinear, Int4Linear, Int8Bf16Linear, Int8Linear


def test_int4_is_affine_in_groups() -> None:
    torch.manual_seed(0)
    quants = torch.randint(0, 16, (64, 96), dtype=torch.uint8)
    scale, minimum = torch.rand(64, 3) * 0.1, -torch.rand(64, 3)
    x = torch.randn(3, 96).bfloat16()
    weight = quants * scale.repeat_interleave(32, 1) + minimum.repeat_interleave(32, 1)
    torch.testing.assert_close(
        Int4Linear.pack(quants, scale, minimum)(x).float(), x.float() @ weight.T, atol=0.25, rtol=0.02
    )


def test_int8_digits_lose_nothing() -> None:
    """As exact as fp32 with the quantised weights, on this machine's operator."""
    torch.manual_seed(0)
    quants, scale = torch.randint(-127, 128, (64, 96), dtype=torch.int8), torch.rand(64) * 0.01
    x = torch.randn(9, 96).bfloat16()
    expected = x.double() @ (quants.double() * scale.double()[:, None]).T
    torch.testing.assert_close(Int8Linear.pack(quants, scale)(x).double(), expected, atol=2e-3, rtol=1e-3)


def test_int8_fallback_is_close() -> None:
    torch.manual_seed(0)
    quants, scale = torch.randint(-127, 128, (64, 96), dtype=torch.int8), torch.rand(64) * 0.01
    x = torch.randn(9, 96).bfloat16()
    expected = x.float() @ (quants.float() * scale[:, None]).T
    linear = Int8Bf16Linear(quants, scale.bfloat16())
    torch.testing.assert_close(linear(x).float(), expected, atol=0.1, rtol=0.03)
    assert torch.equal(linear(x)[5], linear(x[5:6])[0])


def test_zero_row() -> None:
    assert torch.equal(Int8Linear.quantize(torch.randn(64, 96))(torch.zeros(2, 96).bfloat16()), torch.zeros(2, 64))


def test_dense_pads_and_cuts() -> None:
    weight, x = torch.randn(5, 7), torch.randn(19, 7)
    torch.testing.assert_close(DenseLinear(weight)(x), x @ weight.T)
