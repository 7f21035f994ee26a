"""Relaxed verification: drafts that are about as likely as what autoregression would draw. It changes the text.

Typical acceptance of Cai et al., "Medusa" (arXiv:2401.10774), with their constants: a draft of probability p holds
where p > min(0.09, 0.3 exp(-H)), H the entropy of the distribution at the request's temperature; at 1 where that is 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_EPSILON, _DELTA = 0.09, 0.3


def is_typical(scores: NDArray[np.float32], token: int, temperature: float) -> bool:
    """Whether `token` holds under such `scores` [vocab]."""
    shifted = (scores - scores.max()).astype(np.float64) / (temperature or 1.0)
    weights = np.exp(shifted)
    total = float(weights.sum())
    entropy = math.log(total) - float(weights @ shifted) / total
    return float(weights[token]) / total > min(_EPSILON, _DELTA * math.exp(-entropy))


def log_probability(scores: NDArray[np.float32], token: int) -> float:
    """Of `token` in the softmax of `scores` [vocab]."""
    shifted = (scores - scores.max()).astype(np.float64)
    return float(shifted[token]) - math.log(float(np.exp(shifted).sum()))
