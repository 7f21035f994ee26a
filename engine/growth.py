"""Drawing drafts that fork: where the model is not sure, several tokens for one place, each with what would follow it.

Nodes are drawn best first, by the chance that all tokens up to one hold (after EAGLE-2, Li et al., arXiv:2406.16858),
so the first n of a tree are the best tree of n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count

import numpy as np
from numpy.typing import NDArray

from triroute.engine.links import Links
from triroute.engine.modes.base import Draft
from triroute.engine.modes.tree import ancestors
from triroute.engine.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Offer:
    """A token that could join a tree at `depth`, with the chance that the path to it holds.

    `links` have come to the slot before it.
    """

    draft: Draft
    chance: float
    depth: int
    links: Links


class Growth:
    """A tree in the making. Its sampler has no grammar, and has taken the tokens of `path`."""

    def __init__(self, sampler: Sampler, scores: NDArray[np.float32], position: int) -> None:
        self.tree: list[Draft] = []
        self._sampler = sampler
        self._scores = scores
        self._row = np.empty_like(scores[0])
        self._position = position
        self._path: tuple[int, ...] = ()
        self._offers: list[tuple[float, int, Offer]] = []
        self._order = count()

    def begin(self, token: int, links: Links) -> None:
        """Offer what may follow `token`, which is no draft."""
        links.step(token)
        self._offer(-1, 1.0, 0, links)

    def grow(self) -> bool:
        """Take the best offer, and see what may follow it. False where none is left."""
        if not self._offers:
            return False
        offer = heappop(self._offers)[2]
        self.tree.append(offer.draft)
        fits = len(self.tree) < len(self._scores) and offer.depth + 1 < len(self._scores)
        if fits and offer.draft.token not in self._sampler.end_ids:
            links = offer.links.fork()
            links.step(offer.draft.token)
            self._move(ancestors(self.tree, len(self.tree) - 1))
            self._offer(len(self.tree) - 1, offer.chance, offer.depth + 1, links)
        return True

    def end(self) -> tuple[Draft, ...]:
        """The tree. The sampler has taken nothing then."""
        self._move(())
        return tuple(self.tree)

    def _offer(self, at: int, chance: float, depth: int, links: Links) -> None:
        np.copyto(self._row, self._scores[depth])
        for draft, own in self._sampler.draw_rivals(self._row, self._position + depth, links):
            offer = Offer(replace(draft, behind=at), chance * own, depth, links)
            heappush(self._offers, (-offer.chance, next(self._order), offer))

    def _move(self, path: tuple[int, ...]) -> None:
        """Let the sampler have taken this path."""
        same = 0
        while same < min(len(self._path), len(path)) and self._path[same] == path[same]:
            same += 1
        self._sampler.back(len(self._path) - same)
        for at in path[same:]:
            self._sampler.take(self.tree[at].token)
        self._path = path


def draw_tree(
    sampler: Sampler, scores: NDArray[np.float32], position: int, links: Links, before: int
) -> tuple[Draft, ...]:
    """As many drafts as there are slots, for the positions from `position` on, behind the token `before`.

    `scores` [slots, vocab] stay as they are. Raises EngineError.
    """
    growth = Growth(sampler, scores, position)
    growth.begin(before, links)
    while len(growth.tree) < len(scores) and growth.grow():
        pass
    return growth.end()
