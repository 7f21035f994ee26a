"""Drafts hear what followed before, and say where they come from."""

from __future__ import annotations

import numpy as np

from triroute.engine.links import Links
from triroute.engine.lookup import PromptLookup


def test_what_followed_gains_and_is_named() -> None:
    echo = PromptLookup().echo([5, 6, 7, 8, 1, 5, 6])
    links = Links(None, echo)
    links.step(7)
    scores = np.zeros(10, dtype=np.float32)
    scores[3] = 1.5
    links.shift(scores, None)
    assert int(scores.argmax()) == 8
    assert links.repeats(8)
    assert not links.repeats(3)


def test_what_the_model_says_too_is_the_model_s() -> None:
    links = Links(None, PromptLookup().echo([5, 6, 7, 8, 1, 5, 6]))
    links.step(7)
    scores = np.zeros(10, dtype=np.float32)
    scores[8] = 1.0
    links.shift(scores, None)
    assert not links.repeats(8)


def test_nothing_repeats() -> None:
    links = Links(None, PromptLookup().echo([1, 2, 3]))
    links.begin([4], [5])
    links.step(6)
    scores = np.arange(10, dtype=np.float32)
    links.shift(scores, None)
    assert scores.tolist() == list(range(10))
    assert not links.repeats(9)


def test_tokens_before_the_block_count() -> None:
    """The tail is what was committed, what this pass drew, and the drafts so far."""
    links = Links(None, PromptLookup().echo([1, 2, 3, 9, 4, 1]))
    links.begin([2], [3])
    scores = np.zeros(10, dtype=np.float32)
    links.shift(scores, None)
    assert scores[9] == 2.0
