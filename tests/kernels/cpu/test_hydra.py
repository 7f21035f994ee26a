"""The head that links drafts, against plain NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from triroute.engine.adapters import head_sizes
from triroute.engine.hydra import CANDIDATES, LEAST_SQUARE, Hydra
from triroute.kernels.cpu.dense import from_bfloat16, to_bfloat16
from triroute.kernels.cpu.hydra import Head

HIDDEN, WIDTH, VOCAB, SLOTS = 64, 32, 90, 4

Matrix = NDArray[np.float32]


def _matrices(random: np.random.Generator) -> list[Matrix]:
    shapes = head_sizes(WIDTH, HIDDEN).values()
    drawn = (random.standard_normal(shape, dtype=np.float32) / shape[1] ** 0.5 for shape in shapes)
    return [from_bfloat16(to_bfloat16(matrix)) for matrix in drawn]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), narrow=st.booleans(), masked=st.booleans())
def test_slots_know_the_tokens_before_them(seed: int, narrow: bool, masked: bool) -> None:
    random = np.random.default_rng(seed)
    state, token, memory, out = matrices = _matrices(random)
    plain = from_bfloat16(to_bfloat16(random.standard_normal((VOCAB + 1, HIDDEN), dtype=np.float32)))
    hydra = Hydra(Head.of(*matrices), to_bfloat16(plain) if narrow else plain)
    states = random.standard_normal((SLOTS, HIDDEN), dtype=np.float32)
    trail, kept = hydra.trail(states), np.zeros(WIDTH, dtype=np.float32)
    for slot in range(SLOTS):
        before = int(random.integers(VOCAB))
        trail.step(before)
        known = plain[before] / np.sqrt(np.mean(plain[before] ** 2) + LEAST_SQUARE)
        total = state @ states[slot] + token @ known + memory @ kept
        kept = total / (1 + np.exp(-total))
        moves = plain[:-1] @ (out @ kept)
        scores = random.standard_normal(VOCAB, dtype=np.float32)
        free = random.random(VOCAB) < 0.4 if masked else np.ones(VOCAB, dtype=bool)
        free[3] = True
        bits = np.packbits(np.pad(free, (0, -VOCAB % 32)), bitorder="little") if masked else None
        first = sorted(np.flatnonzero(free), key=lambda one: -scores[one])[:CANDIDATES]
        moved = scores.copy()
        trail.shift(moved, bits)
        lost = scores[first[0]] - max(scores[one] + moves[one] for one in first)
        others = np.setdiff1d(np.arange(VOCAB), first)
        np.testing.assert_array_equal(moved[others], scores[others])
        np.testing.assert_allclose(moved[first], scores[first] + moves[first] + lost, atol=1e-4)


def test_a_head_that_adds_nothing_changes_no_order() -> None:
    random = np.random.default_rng(0)
    state, token, memory, out = _matrices(random)
    embedding = random.standard_normal((VOCAB + 1, HIDDEN), dtype=np.float32)
    trail = Hydra(Head.of(state, token, memory, 0 * out), embedding).trail(np.ones((1, HIDDEN), dtype=np.float32))
    trail.step(5)
    scores = random.standard_normal(VOCAB, dtype=np.float32)
    moved = scores.copy()
    trail.shift(moved, None)
    np.testing.assert_allclose(moved, scores, atol=1e-6)
