"""Drawing tokens: `argmax(logits / temperature + gumbel(seed, position))`, so a draw is a function of its inputs.

Rows are drawn one by one, each over the same [vocab] shape: the bits of a draw do not depend on its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triroute.engine.types import Sampling
from triroute.kernels.noise import gumbel


def draw(logits: Tensor, sampling: Sampling, position: int, allowed: Tensor | None = None) -> int:
    """The token at `position`. `logits` [vocab]; `allowed` bool [vocab], at least one True, or None for all."""
    if allowed is not None:
        logits = logits.masked_fill(~allowed, float("-inf"))
    if sampling.temperature == 0:
        return int(logits.max(dim=-1).indices)
    scores = _filtered(logits.float() / sampling.temperature, sampling)
    return int((scores + gumbel(sampling.seed, position, scores.shape[-1])).max(dim=-1).indices)


def confidence(logits: Tensor, token: int) -> float:
    """The model's own probability of `token`, before temperature and filters. `logits` [vocab]."""
    scores = logits.float()
    return float(torch.exp(scores[token] - scores.logsumexp(dim=-1)))


def _filtered(scores: Tensor, sampling: Sampling) -> Tensor:
    """`scores` with everything outside top-k and top-p at minus infinity."""
    if 0 < sampling.top_k < scores.shape[-1]:
        kept = scores.topk(sampling.top_k).indices
        scores = torch.full_like(scores, float("-inf")).index_copy_(0, kept, scores[kept])
    if sampling.top_p < 1:
        ordered, order = scores.softmax(dim=-1).sort(descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered
        scores = scores.index_fill(0, order[before >= sampling.top_p], float("-inf"))
    return scores
