"""A part of the vocabulary stands for all of it."""

from __future__ import annotations

import torch

from triroute.engine.training.loss import Vocabulary


def test_drawn_tokens_stand_for_all_others() -> None:
    draw = torch.Generator().manual_seed(0)
    head, state = torch.randn(400, 8, generator=draw), torch.randn(8, generator=draw)
    vocabulary = Vocabulary(torch.tensor([3, 5, 399]), head, head, others=100)
    sums = []
    for seed in range(300):
        choice = vocabulary.choose(seed)
        assert len(choice.ids.unique()) == 103
        assert choice.places[choice.ids].tolist() == list(range(103))
        sums.append((choice.head @ state + choice.correction).exp().sum())
    whole = (head @ state).exp().sum()
    assert (torch.stack(sums).mean() - whole).abs() < 0.1 * whole


def test_small_vocabularies_are_whole() -> None:
    head = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    choice = Vocabulary(torch.tensor([3, 5]), head, head).choose(0)
    assert sorted(choice.ids.tolist()) == list(range(20))
    assert not choice.correction.any()
