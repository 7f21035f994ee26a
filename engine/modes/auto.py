"""`block_length: auto`: how wide to draft next, and from which source, off included.

Of all candidates the one with the most expected tokens a second is taken. What drafts are worth comes from the history
of the request, and where that is short from all requests before it; what passes cost was measured at start. A source
that does not pay is tried again, ever more rarely.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from triroute.engine.costs import Costs
from triroute.engine.modes.base import View
from triroute.engine.types import DraftSource

Key = tuple[DraftSource, int]  # the source, and for prompt lookup the length of the match
_DEPTHS = 3  # the third draft and later ones share one chance
_TRUST = 8.0  # tries of the request itself that outweigh what others told
_FORGET = 0.99
_FIRST_GUESS = {0: 0.4, 1: 0.2, 2: 0.45, 3: 0.7}  # by length of the match; 0 is diffusion
_SOONEST, _LATEST = 8, 256  # cycles between two tries of a source that does not pay
_CHEAP = 1.12  # what such a try may cost, times a plain pass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run the next cycle: `drafts` of a source, passes with so many own `rows`, `masks` to draft."""

    rows: tuple[int, ...]
    key: Key | None = None
    drafts: int = 0
    masks: int = 0


class Acceptance:
    """How often drafts held, by source and depth. Old evidence fades."""

    def __init__(self, prior: Acceptance | None = None) -> None:
        self._prior = prior
        self._held: dict[tuple[Key, int], float] = defaultdict(float)
        self._tried: dict[tuple[Key, int], float] = defaultdict(float)

    def chance(self, key: Key, depth: int) -> float:
        """Probability that a draft holds when those before it did; `depth` counts from 0."""
        at = (key, min(depth, _DEPTHS - 1))
        guess = self._prior.chance(key, depth) if self._prior else _FIRST_GUESS[min(key[1], 3)]
        return (self._held[at] + _TRUST * guess) / (self._tried[at] + _TRUST)

    def expected(self, key: Key, drafts: int) -> float:
        """Drafts that will hold, of so many."""
        total, reach = 0.0, 1.0
        for depth in range(drafts):
            reach *= self.chance(key, depth)
            total += reach
        return total

    def learn(self, key: Key, checked: int, accepted: int) -> None:
        """Take the outcome of a cycle in, here and in what all share."""
        for depth in range(min(accepted + 1, checked)):
            at = (key, min(depth, _DEPTHS - 1))
            self._held[at] = self._held[at] * _FORGET + (depth < accepted)
            self._tried[at] = self._tried[at] * _FORGET + 1
        if self._prior is not None:
            self._prior.learn(key, checked, accepted)


@dataclass(slots=True)
class Patience:
    """When to try a source again that does not pay."""

    wait: dict[Key, int] = field(default_factory=dict)
    since: dict[Key, int] = field(default_factory=dict)

    def due(self, key: Key) -> bool:
        """Whether it is time; counts the cycle."""
        self.since[key] = self.since.get(key, _SOONEST) + 1
        return self.since[key] > self.wait.get(key, _SOONEST)

    def tried(self, key: Key, *, held: bool) -> None:
        """Wait less after a success, longer after a failure."""
        wait = self.wait.get(key, _SOONEST)
        self.wait[key] = max(_SOONEST, wait // 2) if held else min(_LATEST, wait * 2)
        self.since[key] = 0


class Chooser:
    """Picks a candidate each cycle, for one request."""

    def __init__(self, costs: Costs, shared: Acceptance, patience: Patience) -> None:
        self._costs = costs
        self._history = Acceptance(shared)
        self._patience = patience

    def pick(self, candidates: Sequence[Candidate], view: View) -> Candidate:
        """The candidate worth most; now and then a cheap one of a source that seemed not to pay."""
        best = max(candidates, key=lambda candidate: self._worth(candidate, view))
        bar = _CHEAP * self._seconds(len(view.pending), view)
        others = [candidate for candidate in candidates if candidate.key not in (None, best.key)]
        cheap = {other.key: other for other in others if self._seconds(max(other.rows), view) <= bar}
        for key, candidate in cheap.items():
            if key is not None and self._patience.due(key):
                return candidate
        return best

    def learn(self, candidate: Candidate, checked: int, accepted: int) -> None:
        """Remember what became of a cycle's drafts."""
        if candidate.key is not None and checked:
            self._history.learn(candidate.key, checked, accepted)
            self._patience.tried(candidate.key, held=accepted > 0)

    def _worth(self, candidate: Candidate, view: View) -> float:
        """Expected tokens a second of all that share the passes."""
        passes = len(candidate.rows)
        held = self._history.expected(candidate.key, candidate.drafts) if candidate.key else 0.0
        seconds = sum(self._seconds(rows, view) for rows in candidate.rows) + candidate.masks * self._costs.per_draft
        return (passes * (view.company.sequences + 1) + held) / seconds

    def _seconds(self, own: int, view: View) -> float:
        return self._costs.seconds(view.company.rows + own, own, view.cached)
