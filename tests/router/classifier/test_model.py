"""Weights: read, named, refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from triroute.router.classifier.model import KINDS, Model, dump, revision_of, shipped
from triroute.router.classifier.sight import see
from triroute.router.types import Message, Request, Role

NAMES = ("ask poem", "ask function", "system poem", "fact format: none")


def _text(weights: object = None) -> str:
    table = np.arange(20, dtype=np.float64).reshape(5, 4) if weights is None else np.asarray(weights)
    return dump(NAMES, table, 2.0, 0.4, {"held_out": "x"})


def test_what_is_written_is_read() -> None:
    text = _text()
    by = Model.parse(text)
    assert by.names == NAMES
    assert by.weights.tolist() == (np.arange(20).reshape(5, 4) / 2).tolist()
    assert (by.floor, by.revision) == (0.4, revision_of(text))


def test_rows_of_a_request() -> None:
    by = Model.parse(_text())
    seen = by.seen(see(Request((Message(Role.USER, "Write a poem, a poem"),))))
    assert sorted(seen) == [0, 3, 4]
    assert seen[-1] == 4
    shares = by.shares(seen)
    assert sum(shares) == pytest.approx(1)
    assert by.evidence(seen, 3, 2) == ("format: none (prose +0.8)",)  # of words none is told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 9}, "version 9"),
        ({"kinds": ["a"]}, "train it again"),
        ({"features": {"ask poem": [1, 2]}}, "reshape|inhomogeneous"),
        ({"features": 3}, "not the weights"),
        ({"temperature": None}, "not the weights"),
        ({"bias": [float("nan")] * 4}, "not numbers"),
    ],
)
def test_other_files_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Model.parse(json.dumps({**json.loads(_text()), **change}))


def test_what_ships() -> None:
    by = shipped()
    assert by.weights.shape == (len(by.names) + 1, len(KINDS))
    assert len(by.revision) == 12
