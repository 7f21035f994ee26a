"""Edits touch what they are asked to, and nothing else: not a comment, not a space."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from triroute.router.policy import document
from triroute.router.policy.edit import changed

from .generated import good_policy, written

TEXT = """# about
version: 1   # one
shared: &shared {block_length: 4}
flow: {mode: diffusion, block_length: 16} # why
block:
  mode: "self_speculation"  # quoted

  draft_threshold: 0.5
list:
  - when: {load: {running: {lt: 8, resume_at: 6}}}
alias: *shared
merged: {<<: *shared, mode: diffusion}
anchored: &n 5
empty: {}
last:
  a: 1"""


@pytest.mark.parametrize(
    ("path", "value", "line", "became"),
    [
        (("flow", "block_length"), "auto", 4, "flow: {mode: diffusion, block_length: auto} # why"),
        (("flow", "max_steps"), 3, 4, "flow: {mode: diffusion, max_steps: 3, block_length: 16} # why"),
        (("block", "mode"), "diffusion", 6, "  mode: diffusion  # quoted"),
        (("block", "draft_threshold"), 0.25, 8, "  draft_threshold: 0.25"),
        (("block", "block_length"), 4, 7, "  block_length: 4"),
        (("list", 0, "when", "load", "running", "resume_at"), 5, 10, None),
        (("merged", "block_length"), 8, 12, "merged: {<<: *shared, mode: diffusion, block_length: 8}"),
        (("anchored",), 7, 13, "anchored: &n 7"),
        (("empty", "a"), 1, 14, "empty: {a: 1}"),
        (("last", "b"), 2, 17, "  b: 2"),
    ],
)
def test_changed(path: tuple[Any, ...], value: Any, line: int, became: str | None) -> None:
    text = changed(TEXT, path, value)
    assert text is not None
    wanted = copy.deepcopy(document.read(TEXT).data)
    at = wanted
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    assert document.read(text).data == wanted
    if became is not None:
        assert text.splitlines()[line - 1] == became
    kept = [one for one in TEXT.splitlines() if one not in text.splitlines()]
    assert len(kept) <= 1


@pytest.mark.parametrize(
    ("path", "value"), [(("alias", "block_length"), 8), (("shared", "block_length"), 8), (("list", 0), 1)]
)
def test_what_others_share_is_left_alone(path: tuple[Any, ...], value: Any) -> None:
    assert changed(TEXT, path, value) is None


@pytest.mark.parametrize("seed", range(30))
def test_any_number_of_any_policy(seed: int) -> None:
    rng = random.Random(seed)
    data = good_policy(rng)
    text, places = written(data)
    lines = text.splitlines()
    for number in range(1, len(lines), 3):
        lines[number] += f"  # comment {number}"
    text = "\n".join(lines) + "\n"
    numbers = [path for path in places if "<key>" not in path and type(_at(data, path)) in (int, float)]
    for path in rng.sample(numbers, min(5, len(numbers))):
        if isinstance(path[-1], int):
            continue
        edited = changed(text, path, 7.25)
        assert edited is not None
        assert _at(document.read(edited).data, path) == 7.25
        differing = [n for n, pair in enumerate(zip(lines, edited.splitlines(), strict=True)) if pair[0] != pair[1]]
        assert differing == [places[path][0] - 1]


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data
