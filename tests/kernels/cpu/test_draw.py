"""The fused draw against a plain one that sorts."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from triroute.kernels.cpu.draw import Scratch, draw_row, draw_several, first_tokens, log_total
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.noise import gumbel, keys

Row = NDArray[np.float32]
SEED, POSITION = 5, 17


def _padded(scores: Row) -> Row:
    row = np.full(-(-len(scores) // LANES) * LANES, -np.inf, dtype=np.float32)
    row[: len(scores)] = scores
    return row


def _bits(allowed: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    if allowed is None:
        return np.zeros(0, dtype=np.uint8)
    whole = np.zeros(-(-len(allowed) // 32) * 32, dtype=np.bool_)
    whole[: len(allowed)] = allowed
    return np.packbits(whole, bitorder="little")


def _draw(
    scores: Row,
    allowed: NDArray[np.bool_] | None,
    heat: float,
    k: int,
    p: float,
    least: float,
    position: int = POSITION,
) -> int:
    row = _padded(scores)
    before = row.copy()
    arguments = (np.float32(heat), k, p, least, *keys(SEED, position), Scratch.of(len(row)))
    token: int = draw_row(row, _bits(allowed), *arguments)
    assert np.array_equal(row, before, equal_nan=True)
    return token


def _plain(
    scores: Row,
    allowed: NDArray[np.bool_] | None,
    heat: float,
    k: int,
    p: float,
    least: float,
    position: int = POSITION,
) -> int:
    """By the definition, filter after filter."""
    masked = scores if allowed is None else np.where(allowed, scores, np.float32(-np.inf))
    if heat == 0:
        return int(masked.argmax())
    values = (masked - masked.max()) / np.float32(heat)
    kept = np.argsort(-values, kind="stable")
    kept = kept[values[kept] > -np.inf][: k or None]
    weights = np.exp(values[kept].astype(np.float64))
    before = np.cumsum(weights) - weights
    wanted = (weights >= least) & ((before < p * weights.sum()) | (p == 1))
    kept = np.sort(kept[wanted])
    noisy = values[kept] + gumbel(SEED, position, len(scores))[kept]
    return int(kept[noisy.argmax()])


def _agree(*arguments: Any) -> None:
    """Weights are rounded; where a bar lies within that of a token's, the draw may be of either side."""
    scores, allowed, heat, k, p, least, *rest = arguments
    plain = {
        _plain(scores, allowed, heat, k, p if p == 1 else p * (1 + off), min(1.0, least * (1 - off)), *rest)
        for off in (0, 1e-5, -1e-5)
    }
    assert _draw(*arguments) in plain


rows = st.one_of(
    st.lists(st.sampled_from([-np.inf, -50.0, -1.0, 0.0, 0.0, 1.0, 1.5, 30.0]), min_size=1, max_size=70),
    st.builds(
        lambda seed, width, spread: np.random.default_rng(seed).standard_normal(width) * spread,
        seed=st.integers(0, 999),
        width=st.integers(1, 700),
        spread=st.sampled_from([0.0, 1e-4, 1.0, 8.0, 60.0]),
    ),
).map(lambda numbers: np.array(numbers, dtype=np.float32))


@settings(max_examples=400, deadline=None)
@given(
    scores=rows,
    mask=st.sampled_from(["none", "one", "half"]),
    heat=st.sampled_from([0.0, 1e-30, 0.1, 0.7, 1.0, 5.0]),
    k=st.sampled_from([0, 1, 2, 7, 50]),
    p=st.sampled_from([1.0, 1e-9, 0.25, 0.5, 0.9, 0.999]),
    least=st.sampled_from([0.0, 1e-6, 0.05, 0.5, 1.0]),
    number=st.integers(0, 10_000),
)
def test_draws_what_the_definition_says(
    scores: Row, mask: str, heat: float, k: int, p: float, least: float, number: int
) -> None:
    random = np.random.default_rng(number)
    scores = np.where(np.isneginf(scores).all(), np.float32(0), scores)
    likely = np.flatnonzero(scores > -np.inf)
    allowed = None
    if mask != "none":
        allowed = np.zeros(len(scores), dtype=np.bool_)
        allowed[random.choice(likely)] = True
        if mask == "half":
            allowed |= random.random(len(scores)) < 0.5
    _agree(scores, allowed, heat, 0 if k >= len(scores) else k, p, least, number)


@pytest.mark.parametrize(("k", "p", "least"), [(0, 1, 0), (40, 1, 0), (0, 0.9, 0), (0, 1, 0.1), (60, 0.9, 0.02)])
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
def test_a_whole_vocabulary(k: int, p: float, least: float, spread: float) -> None:
    scores = (np.random.default_rng(1).standard_normal(49_152) * spread).astype(np.float32)
    for position in range(4):
        _agree(scores, None, 0.9, k, float(p), float(least), position)
    for position in range(4):
        _agree(scores, np.arange(49_152) % 3 == 1, 0.9, k, float(p), float(least), position)


def test_exactly_k_of_equals() -> None:
    level = np.zeros(1000, dtype=np.float32)
    drawn = {_draw(level, None, 1.0, 10, 1.0, 0.0, position) for position in range(300)}
    assert drawn == set(range(10))
    nucleus = {_draw(level, None, 1.0, 0, 0.0095, 0.0, position) for position in range(300)}
    assert nucleus == set(range(10))


def test_scores_that_are_no_numbers() -> None:
    """A broken model draws something, and nothing is written out of bounds."""
    for value in (np.nan, np.inf, -np.inf):
        scores = np.full(100, value, dtype=np.float32)
        assert 0 <= _draw(scores, None, 1.0, 5, 0.9, 0.1) < 100
        scores[7] = 1
        assert 0 <= _draw(scores, None, 1.0, 5, 0.9, 0.1) < 100
    nothing = np.full(64, -np.inf, dtype=np.float32)
    assert _draw(nothing, np.arange(64) == 41, 1.0, 0, 1.0, 0.0) == 41


def test_many_threads_draw_the_same() -> None:
    scores = np.random.default_rng(2).standard_normal(49_152, dtype=np.float32)
    alone = [_draw(scores, None, 1.0, 0, 0.9, 0.0, position) for position in range(20)]
    found: list[list[int]] = []

    def work() -> None:
        found.append([_draw(scores, None, 1.0, 0, 0.9, 0.0, position) for position in range(20)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4


@settings(max_examples=60, deadline=None)
@given(scores=rows, most=st.integers(1, 20))
def test_first_tokens_and_total(scores: Row, most: int) -> None:
    scores = np.where(np.isneginf(scores).all(), np.float32(0), scores)
    row = _padded(scores)
    scratch = Scratch.of(len(row))
    count = first_tokens(row, np.zeros(0, dtype=np.uint8), most, True, scratch)
    shifted = scores - scores.max()
    order = [token for token in np.argsort(-shifted, kind="stable") if scores[token] > -np.inf]
    assert scratch.tokens[:count].tolist() == order[:most]
    total = np.log(np.exp(shifted.astype(np.float64)).sum()) + float(scores.max())
    assert log_total(row, scratch) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(("k", "p", "least"), [(0, 1.0, 0.0), (9, 1.0, 0.0), (0, 0.9, 0.0), (0, 1.0, 0.01)])
@pytest.mark.parametrize("heat", [0.0, 0.8])
def test_several_are_drawn_one_after_the_other(heat: float, k: int, p: float, least: float) -> None:
    """Each is what would be drawn without those before it, as far as filters keep it."""
    scores = (np.random.default_rng(3).normal(0, 3, 1000)).astype(np.float32)
    found, values = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.float32)
    row = _padded(scores)
    arguments = (np.float32(heat), k, p, least, *keys(SEED, POSITION), Scratch.of(len(row)))
    count = draw_several(row, _bits(None), *arguments, found, values)
    assert count == 4
    assert (np.diff(values) <= 0).all()
    assert found[0] == _draw(scores, None, heat, k, p, least)
    rest = np.ones(1000, dtype=np.bool_)
    for token in found.tolist() if p == 1 and not k else ():
        assert token == _draw(scores, rest, heat, 0, 1.0, 0.0)
        rest[token] = False
