"""Root-mean-square normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension (Zhang and Sennrich, arXiv:1910.07467).

    Computed as the layer norm of [x, -x]: its mean is 0, so its variance is the mean square, and PyTorch has one
    fused CPU operator for it, twice as fast as `rms_norm`'s chain of five.
    """

    doubled_weight: Tensor
    eps: float

    @classmethod
    def of(cls, weight: Tensor, eps: float) -> RMSNorm:
        """From the weight [width]."""
        return cls(torch.cat([weight, weight]), eps)

    def __call__(self, x: Tensor) -> Tensor:
        """`x` [rows, width] to the same shape."""
        width = x.shape[-1]
        doubled = torch.cat([x, -x], dim=-1)
        return torch.layer_norm(doubled, [2 * width], self.doubled_weight, None, self.eps)[:, :width].contiguous()
