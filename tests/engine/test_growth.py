"""Trees of drafts: best first, each drawn as autoregression would, laid out as rows, walked along one path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.engine.growth import draw_tree
from triroute.engine.links import Links
from triroute.engine.modes.base import Draft
from triroute.engine.modes.tree import accepted_first, ancestors, behind, lay_out
from triroute.engine.sampler import Sampler
from triroute.engine.span import Span
from triroute.engine.types import PassKind, Sampling

VOCAB, END = 64, 63


def _sampler(temperature: float = 0.0, penalty: float = 1.0) -> Sampler:
    sampling = Sampling(temperature=temperature, repetition_penalty=penalty, seed=4)
    return Sampler(sampling, (1, 2), None, {END})


def _scores(*slots: dict[int, float]) -> np.ndarray:
    scores = np.full((len(slots), VOCAB), -30, dtype=np.float32)
    for row, slot in zip(scores, slots, strict=True):
        row[list(slot)] = list(slot.values())
    return scores


def _tokens(tree: tuple[Draft, ...]) -> list[tuple[int, ...]]:
    return [tuple(tree[at].token for at in ancestors(tree, index)) for index in range(len(tree))]


def test_sure_slots_make_a_chain() -> None:
    tree = draw_tree(_sampler(), _scores({5: 9, 6: 0}, {7: 9, 8: 0}, {9: 9, 4: 0}), 0, Links(None, None), 0)
    assert _tokens(tree) == [(5,), (5, 7), (5, 7, 9)]


def test_doubt_makes_forks() -> None:
    """0.5, 0.4 and 0.1 in the first slot, certainty in the second: both of the first two, then what follows each."""
    first = {5: np.log(0.5), 6: np.log(0.4), 8: np.log(0.1)}
    tree = draw_tree(_sampler(), _scores(first, {7: 9}, {9: 9}, {3: 9}), 0, Links(None, None), 0)
    assert _tokens(tree) == [(5,), (5, 7), (5, 7, 9), (5, 7, 9, 3)], (
        "what follows the first is likelier than the second"
    )
    first = {5: np.log(0.5), 6: np.log(0.4), 8: np.log(0.1)}
    second = {7: np.log(0.6), 9: np.log(0.4)}
    tree = draw_tree(_sampler(), _scores(first, second, second), 0, Links(None, None), 0)
    assert _tokens(tree) == [(5,), (6,), (5, 7)]


def test_nothing_follows_the_end() -> None:
    tree = draw_tree(_sampler(), _scores({END: 9, 5: 7}, {7: 9}, {8: 9}), 0, Links(None, None), 0)
    assert _tokens(tree) == [(END,), (5,), (5, 7)]


@pytest.mark.parametrize(("temperature", "penalty"), [(0.0, 1.0), (0.9, 1.0), (0.9, 1.5), (0.0, 1.5)])
def test_the_first_of_each_place_is_what_is_drawn_there(temperature: float, penalty: float) -> None:
    """The path of first choices is the one that a walk draws; scores and sampler are as they were."""
    scores = np.random.default_rng(8).normal(0, 2, (5, VOCAB)).astype(np.float32)
    before = scores.copy()
    sampler, walk = _sampler(temperature, penalty), _sampler(temperature, penalty)
    tree = draw_tree(sampler, scores, 11, Links(None, None), 0)
    assert np.array_equal(scores, before)
    at, first = -1, 0
    for slot in range(5):
        after = next((i for i in range(len(tree)) if behind(tree, i) == at), None)
        if after is None:
            break
        token = walk.draw(scores[slot], 11 + slot).token
        assert tree[after].token == token
        walk.take(token)
        at, first = after, first + 1
    assert first >= 1
    assert sampler.draw(scores[0], 11).token == _sampler(temperature, penalty).draw(scores[0], 11).token


@st.composite
def trees(draw: st.DrawFn) -> tuple[Draft, ...]:
    """Any tree whose siblings differ."""
    tree: list[Draft] = []
    for index in range(draw(st.integers(1, 9))):
        at = draw(st.integers(-1, index - 1))
        taken = {draft.token for draft in tree if draft.behind == at}
        tree.append(Draft(draw(st.integers(0, 12).filter(lambda token, taken=taken: token not in taken)), behind=at))
    return tuple(tree)


@given(tree=trees(), pending=st.lists(st.integers(0, 12), min_size=1, max_size=3))
def test_rows_hold_every_path(tree: tuple[Draft, ...], pending: list[int]) -> None:
    """Following tokens row by row finds each draft once, and nothing that is not there."""
    chain, forks = lay_out(tuple(pending), tree)
    span = Span(PassKind.VERIFY, chain, exact=len(pending) - 1, forks=forks)
    assert len(chain) + len(forks) == len(pending) + len(tree)
    rows = set()
    for index in range(len(tree)):
        row: int | None = len(pending) - 1
        for at in ancestors(tree, index):
            assert row is not None
            row = span.follower(row, tree[at].token)
        assert row is not None
        rows.add(row)
        assert span.follower(row, 99) is None
    assert len(rows) == len(tree)


@given(tree=trees(), data=st.data())
def test_accepted_drafts_come_first(tree: tuple[Draft, ...], data: st.DataObject) -> None:
    path = ancestors(tree, data.draw(st.integers(-1, len(tree) - 1)))
    ordered = accepted_first(tree, [tree[at].token for at in path])
    assert ordered[: len(path)] == tuple(tree[at] for at in path)
    assert sorted(ordered, key=tree.index) == sorted(tree, key=tree.index)
