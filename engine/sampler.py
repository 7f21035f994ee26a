"""One sequence's draws: what its sampling and its grammar make of scores, after the tokens taken so far."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray

from triroute.engine.grammar import Constraint
from triroute.engine.history import History
from triroute.engine.links import Links
from triroute.engine.modes.base import Draft
from triroute.engine.sampling import draw, draw_rivals
from triroute.engine.types import DraftSource, Sampling, TokenLogprob
from triroute.engine.typical import is_typical, log_probability


class Sampler:
    """Draws tokens, takes them in, and gives them back."""

    def __init__(
        self, sampling: Sampling, prompt_ids: Sequence[int], constraint: Constraint | None, end_ids: Set[int]
    ) -> None:
        self.sampling = sampling
        self.end_ids = end_ids
        self._constraint = constraint
        self._left = sampling.max_tokens
        self._history = History.of(sampling, prompt_ids)

    @property
    def constrained(self) -> bool:
        """Whether a grammar decides with."""
        return self._constraint is not None

    def draw(
        self, scores: NDArray[np.float32], position: int, *, judged: bool = True, links: Links | None = None
    ) -> Draft:
        """The token at `position`, as autoregression draws it after what was taken. Raises EngineError.

        Its confidence is 1 unless `judged`, which costs a look at all scores. A draft's `links` move its scores first.
        """
        allowed = self._constraint.allowed() if self._constraint is not None else None
        if links is not None:
            links.shift(scores, allowed)
        drawn = draw(scores, self.sampling, position, allowed, self._history, judged=judged)
        repeats = links is not None and links.repeats(drawn.token)
        source = DraftSource.PROMPT_LOOKUP if repeats else DraftSource.DIFFUSION
        if self.sampling.logprobs is None:
            return Draft(drawn.token, drawn.confidence, source)
        logprob = TokenLogprob(drawn.token, drawn.log_probability, drawn.top)
        return Draft(drawn.token, drawn.confidence, source, logprob)

    def tolerate(self, scores: NDArray[np.float32], expected: Sequence[int]) -> Draft | None:
        """The first of the expected tokens that relaxed verification lets stand for what is drawn, if there is one."""
        for token in expected:
            if self.accepts(token) and is_typical(scores, token, self.sampling.temperature):
                wanted = self.sampling.logprobs is not None
                return Draft(token, logprob=TokenLogprob(token, log_probability(scores, token)) if wanted else None)
        return None

    def draw_rivals(
        self, scores: NDArray[np.float32], position: int, links: Links | None = None
    ) -> list[tuple[Draft, float]]:
        """What `draw` gives, and the next likeliest after it, each with the chance that it holds."""
        if links is not None:
            links.shift(scores, None)
        drafts = []
        for drawn, chance in draw_rivals(scores, self.sampling, position, None, self._history):
            repeats = links is not None and links.repeats(drawn.token)
            source = DraftSource.PROMPT_LOOKUP if repeats else DraftSource.DIFFUSION
            drafts.append((Draft(drawn.token, drawn.confidence, source), chance))
        return drafts

    def forced_draft(self, token: int) -> Draft:
        """What the grammar left no choice about, as a draft."""
        logprob = None if self.sampling.logprobs is None else TokenLogprob(token)
        return Draft(token, 1.0, DraftSource.GRAMMAR, logprob)

    def accepts(self, token: int) -> bool:
        """Whether the grammar allows `token` next."""
        return self._constraint is None or self._constraint.accepts(token)

    def take(self, token: int) -> None:
        """Go on after `token`. Raises EngineError when the grammar does not allow it."""
        self._left -= 1
        if self._constraint is not None:
            self._constraint.advance(token)
        if self._history is not None:
            self._history.push(token)

    def take_forced(self) -> tuple[int, ...]:
        """Take whatever the grammar leaves no choice about, up to the end of the output."""
        if self._constraint is None:
            return ()
        forced = self._constraint.take_forced(max(self._left, 0))
        self._left -= len(forced)
        if self._history is not None:
            for token in forced:
                self._history.push(token)
        return forced

    def back(self, count: int) -> None:
        """Give the last `count` tokens back."""
        self._left += count
        if self._constraint is not None and count:
            self._constraint.back(count)
        if self._history is not None:
            self._history.pop(count)
