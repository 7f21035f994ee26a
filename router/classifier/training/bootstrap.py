"""How far macro-F1 would move with other sessions: an interval by resampling sessions, the steps of one together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triroute.router.classifier.model import KINDS
from triroute.router.classifier.score import Scored

_TIMES = 1_000
_SHARE = (0.025, 0.975)


def interval(steps: Sequence[Scored], sessions: Sequence[str]) -> tuple[float, float]:
    """The middle 95% of macro-F1, over the kinds that `steps` have. The same for the same steps."""
    names = {name: number for number, name in enumerate(sorted(set(sessions)))}
    counts = np.zeros((len(names), len(KINDS), len(KINDS) + 1))  # session, observed, predicted or unknown
    for step, session in zip(steps, sessions, strict=True):
        predicted = KINDS.index(step.predicted) if step.predicted in KINDS else len(KINDS)
        counts[names[session], KINDS.index(step.observed), predicted] += 1
    dice = np.random.default_rng(0)
    drawn = dice.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_TIMES)
    tables = np.einsum("ts,sop->top", drawn, counts)
    hits = np.einsum("tkk->tk", tables[:, :, : len(KINDS)])
    both = tables.sum(axis=2) + tables[:, :, : len(KINDS)].sum(axis=1)
    there = counts.sum(axis=(0, 2)) > 0
    values = (2 * hits / np.maximum(both, 1))[:, there].mean(axis=1)
    low, high = np.quantile(values, _SHARE)
    return float(low), float(high)
