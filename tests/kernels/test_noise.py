"""Counter-based noise: a pure function with the right distribution."""

from __future__ import annotations

import torch

from triroute.kernels.noise import gumbel

WIDTH = 49_152


def test_repeats() -> None:
    assert torch.equal(gumbel(7, 11, WIDTH), gumbel(7, 11, WIDTH))


def test_seed_and_position_matter() -> None:
    base = gumbel(7, 11, WIDTH)
    for seed, position in ((8, 11), (7, 12), (7 + 2**32, 11)):
        other = gumbel(seed, position, WIDTH)
        assert (base == other).float().mean() < 0.001
        assert abs(float(torch.corrcoef(torch.stack([base, other]))[0, 1])) < 0.02


def test_is_gumbel() -> None:
    noise = torch.cat([gumbel(1, position, WIDTH) for position in range(8)])
    assert torch.isfinite(noise).all()
    assert abs(noise.mean() - 0.57722) < 0.01
    assert abs(noise.std() - 1.28255) < 0.01


def test_draws_follow_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    counts = torch.zeros(4)
    for position in range(4000):
        counts[(logits + gumbel(3, position, 4)).argmax()] += 1
    torch.testing.assert_close(counts / 4000, logits.softmax(0), atol=0.03, rtol=0)
