"""Drafts that fork: laid out as rows of a span, and walked along the one path that autoregression takes."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.engine.modes.base import Draft
from triroute.engine.span import Fork


def behind(drafts: Sequence[Draft], index: int) -> int:
    """Which draft one follows; -1 for none."""
    said = drafts[index].behind
    return index - 1 if said is None else said


def ancestors(drafts: Sequence[Draft], index: int) -> tuple[int, ...]:
    """Indices from the first draft of a path to its last, `index`; none for -1."""
    path: tuple[int, ...] = ()
    while index >= 0:
        path, index = (index, *path), behind(drafts, index)
    return path


def accepted_first(drafts: tuple[Draft, ...], tokens: Sequence[int]) -> tuple[Draft, ...]:
    """Drafts in the order of a path whose `tokens` held, then all others."""
    at, path = -1, []
    for token in tokens:
        at = next(i for i, draft in enumerate(drafts) if draft.token == token and behind(drafts, i) == at)
        path.append(at)
    return (*(drafts[at] for at in path), *(draft for at, draft in enumerate(drafts) if at not in path))


def lay_out(pending: tuple[int, ...], drafts: Sequence[Draft]) -> tuple[tuple[int, ...], tuple[Fork, ...]]:
    """Rows to verify drafts behind what is `pending`: the chain with the best path of them, and forks for the rest."""
    rows: dict[int, int] = {-1: len(pending) - 1}
    chain = list(pending)
    last = -1
    for at, draft in enumerate(drafts):
        if behind(drafts, at) == last:
            rows[at], last = len(chain), at
            chain.append(draft.token)
    forks: list[Fork] = []
    for at, draft in enumerate(drafts):
        if at not in rows:
            rows[at] = len(chain) + len(forks)
            forks.append(Fork(rows[behind(drafts, at)], draft.token))
    return tuple(chain), tuple(forks)
