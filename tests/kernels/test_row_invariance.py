"""A row's bits must not depend on how many rows run with it, nor on how the cache was filled."""

from __future__ import annotations

import pytest
import torch

from triroute.kernels.attention import Attention
from triroute.kernels.linear import DenseLinear, Int4Linear, Int8Linear, Linear
from triroute.kernels.norm import RMSNorm
from triroute.kernels.rotary import rotary_table, rotate, spread

WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 31, 40]


def _linears() -> dict[str, tuple[Linear, int, torch.dtype]]:
    torch.manual_seed(0)
    scale = torch.rand(96, 576 // 32) * 0.01
    int4 = Int4Linear.pack(torch.randint(0, 16, (96, 576), dtype=torch.uint8), scale, -7 * scale)
    return {
        "int4": (int4, 576, torch.bfloat16),
        "int8": (Int8Linear.quantize(torch.randn(512, 576)), 576, torch.bfloat16),
        "bf16": (DenseLinear(torch.randn(96, 576).bfloat16()), 576, torch.bfloat16),
        "fp32": (DenseLinear(torch.randn(96, 576)), 576, torch.float32),
    }


@pytest.mark.parametrize("kind", ["int4", "int8", "bf16", "fp32"])
def test_linear(kind: str) -> None:
    linear, inputs, dtype = _linears()[kind]
    x = torch.randn(max(WIDTHS), inputs).to(dtype)
    alone = torch.cat([linear(row[None]) for row in x])
    for width in WIDTHS:
        assert torch.equal(linear(x[:width].contiguous()), alone[:width]), width


def test_norm() -> None:
    torch.manual_seed(0)
    norm = RMSNorm.of(torch.randn(576).bfloat16(), 1e-5)
    x = torch.randn(max(WIDTHS), 576).bfloat16()
    alone = torch.cat([norm(row[None]) for row in x])
    for width in WIDTHS:
        assert torch.equal(norm(x[:width]), alone[:width]), width


def test_rotation() -> None:
    torch.manual_seed(0)
    heads = torch.randn(max(WIDTHS), 15, 64).bfloat16()
    cosine, sine = spread(*rotary_table(max(WIDTHS), 64, 1e5, torch.bfloat16), 12, 3)
    turned = rotate(heads, cosine, sine)
    assert torch.equal(turned[:, 12:], heads[:, 12:])
    for row in range(max(WIDTHS)):
        one = slice(row, row + 1)
        assert torch.equal(rotate(heads[one], cosine[one], sine[one]), turned[one])


@pytest.mark.parametrize("start", [0, 3, 60, 63, 126, 187, 250, 508, 700])
@pytest.mark.parametrize("width", [2, 4, 5, 7, 16, 64])
def test_attention(start: int, width: int) -> None:
    """Spans that straddle a key step are where a careless rounding of keys differs."""
    torch.manual_seed(start * 100 + width)
    cache = torch.randn(1, 2, 3, 1024, 64).bfloat16()
    queries = (torch.randn(width, 9, 64) * 3).bfloat16()
    limits = list(range(start, start + width))
    together = Attention(limits, cache, 9)(queries, 0)
    for row, limit in enumerate(limits):
        alone = Attention([limit], cache, 9)(queries[row : row + 1], 0)
        assert torch.equal(alone[0], together[row]), row


def test_attention_is_attention() -> None:
    torch.manual_seed(0)
    cache = torch.randn(1, 2, 3, 128, 64)
    queries = torch.randn(5, 9, 64)
    limits = [70, 3, 100, 64, 63]
    mixed = Attention(limits, cache, 9)(queries, 0).view(5, 9, 64)
    for row, limit in enumerate(limits):
        for head in range(9):
            keys, values = cache[0, 0, head // 3, : limit + 1], cache[0, 1, head // 3, : limit + 1]
            weights = torch.softmax(keys @ queries[row, head] / 8, dim=0)
            torch.testing.assert_close(mixed[row, head], weights @ values, atol=1e-5, rtol=1e-4)


def test_padded_queries_touch_nothing() -> None:
    cache = torch.zeros(1, 2, 3, 64, 64).bfloat16()
    mixed = Attention([0], cache, 9)(torch.ones(1, 9, 64).bfloat16(), 0)
    assert mixed.shape == (1, 576)
    assert torch.equal(mixed, torch.zeros_like(mixed))
