"""What drafts are trained for: to say what autoregression will, early slots before late ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from triroute.engine.training.blocks import Batch


@dataclass(frozen=True, slots=True)
class Choice:
    """Tokens that a step tells apart.

    `ids` int64 [n], their rows of head and embedding [n, hidden], what to add to their scores fp32 [n], and of each
    token of the vocabulary its place among them, -1 for none.
    """

    ids: Tensor
    head: Tensor
    embedding: Tensor
    correction: Tensor
    places: Tensor


class Vocabulary:
    """The tokens that answers hold, always, and some of the others, drawn anew each step.

    Scoring a part of the vocabulary saves most of the head's cost. The drawn ones stand for all others (importance
    sampling), so that none of those becomes likely unnoticed.
    """

    def __init__(self, known: Tensor, head: Tensor, embedding: Tensor, others: int = 4096) -> None:
        """`known` int64, ascending; `head` and `embedding` [vocab, hidden]."""
        self._head, self._embedding = head, embedding
        self._tied = torch.equal(head, embedding)
        self._known = known
        rest = torch.ones(len(head), dtype=torch.bool, device=head.device)
        rest[known] = False
        self._rest = rest.nonzero()[:, 0]
        self._drawn = min(others, len(self._rest))

    def choose(self, seed: int) -> Choice:
        """Those of one step."""
        order = torch.randperm(len(self._rest), generator=torch.Generator().manual_seed(seed))[: self._drawn]
        ids = torch.cat((self._known, self._rest[order.to(self._rest.device)]))
        correction = torch.zeros(len(ids), device=ids.device)
        if self._drawn:
            correction[len(self._known) :] = math.log(len(self._rest) / self._drawn)
        places = torch.full((len(self._head),), -1, dtype=torch.int64, device=ids.device)
        places[ids] = torch.arange(len(ids), device=ids.device)
        head = self._head[ids]
        return Choice(ids, head, head if self._tied else self._embedding[ids], correction, places)


def losses(scores: Tensor, batch: Batch, choice: Choice, distil: float) -> Tensor:
    """Loss fp32 [rows]: cross-entropy with the token that came, and a share `distil` with the distribution it had."""
    log_chances = (scores.float() + choice.correction).log_softmax(dim=-1)
    came = -log_chances.gather(1, choice.places[batch.targets][:, None])[:, 0]
    if not distil:
        return came
    places = choice.places[batch.likely]
    chances = batch.log_probabilities.exp() * (places >= 0)
    chances = chances / chances.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    spread = -(log_chances.gather(1, places.clamp_min(0)) * chances).sum(dim=-1)
    return (1 - distil) * came + distil * spread


def slot_weights(batch: Batch, decay: float) -> Tensor:
    """Weights fp32 [rows] that fall by `decay` a slot: a draft counts only where all before it held."""
    weights = torch.pow(decay, batch.slots.float())
    return weights / weights.sum()
