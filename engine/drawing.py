"""From the scores of a pass to tokens: exact ones along what was drafted, and drafts behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triroute.engine.growth import draw_tree
from triroute.engine.hydra import Hydra
from triroute.engine.links import Links
from triroute.engine.lookup import Echo
from triroute.engine.modes.base import Draft, Rows
from triroute.engine.sampler import Sampler
from triroute.engine.span import Span
from triroute.engine.types import DraftSource, TokenLogprob

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pass gives for the rows that a span asks for: `scores` [rows, vocab], and the `states` [rows, hidden] that
    they came from. Drafts are linked by `hydra` and `echo`, where there are such."""

    scores: Scores
    states: Scores
    hydra: Hydra | None = None
    echo: Echo | None = None

    def links(self, first: int, end: int) -> Links:
        """For a block in such rows."""
        return Links(self.hydra.trail(self.states[first:end]) if self.hydra is not None else None, self.echo)


def draw_next(sampler: Sampler, span: Span, asked: Asked, start: int) -> Rows:
    """The exact tokens of a span that lies at `start`, and drafts after them. Raises EngineError."""
    for token in span.decided:
        sampler.take(token)
    if span.exact is None or (span.decided and span.decided[-1] in sampler.end_ids):
        return Rows()
    after = start + span.exact + 1
    exact = draw_exact(sampler, span, asked.scores, after)
    rows = Rows(exact.tokens, exact.accepted, exact.forced, logprobs=exact.logprobs, lossy=exact.lossy)
    first, length = _branch(span, exact.row)
    beyond = len(exact.tokens) - exact.accepted  # the branch's first row stands where the first of these came
    if not length or exact.tokens[-1] in sampler.end_ids:
        return rows
    first += len(span.asked) - len(span.propose)
    behind, links = asked.scores[first + beyond - 1 : first + length], asked.links(first, first + length)
    links.begin(exact.tokens[: exact.accepted], exact.tokens[exact.accepted : -1])
    position, last = after + len(exact.tokens), exact.tokens[-1]
    if span.may_fork:
        return replace(rows, drafts=draw_tree(sampler, behind, position, links, last))
    return replace(rows, drafts=draw_path(sampler, behind, position, [None] * len(behind), links, last))


def draw_block(sampler: Sampler, span: Span, scores: Scores, start: int) -> tuple[Draft, ...]:
    """A draft for every proposed row of a span that lies at `start`. Raises EngineError."""
    positions = [start + row + 1 for row in span.propose]
    if sampler.constrained and positions:
        return draw_path(sampler, scores, positions[0], span.fixed)
    return tuple(sampler.draw(row, position) for row, position in zip(scores, positions, strict=True))


def _branch(span: Span, row: int) -> tuple[int, int]:
    """Where the branch behind a row begins among the proposed rows, and its length; 0 if there is none."""
    first = 0
    for branch in span.branches:
        if branch.behind == row:
            return first, len(branch.tokens)
        first += len(branch.tokens)
    return 0, 0


@dataclass(frozen=True, slots=True)
class Exact:
    """Tokens that autoregression gives, of which the first `accepted` were expected; `forced` are indices of them.

    Those at `lossy` it would not have given: they were expected, and likely enough for relaxed verification.
    `row` is that of the last accepted token, or the first exact one.
    """

    row: int
    tokens: tuple[int, ...] = ()
    accepted: int = 0
    forced: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    lossy: tuple[int, ...] = ()


def draw_exact(sampler: Sampler, span: Span, scores: Scores, position: int) -> Exact:
    """Tokens from `position` on: one, what the grammar forces after it, and so on as long as that was expected.

    `scores` [exact rows, vocab] are those of the span. All tokens are taken. Raises EngineError.
    """
    tokens: list[int] = []
    forced: list[int] = []
    logprobs: list[TokenLogprob] = []
    lossy: list[int] = []
    first = row = span.exact or 0
    accepted = 0
    while True:
        drawn = sampler.draw(scores[row - first], position + len(tokens), judged=False)
        if span.relaxed and span.follower(row, drawn.token) is None:
            tolerated = sampler.tolerate(scores[row - first], span.expected(row))
            if tolerated is not None:
                drawn = tolerated
                lossy.append(len(tokens))
        sampler.take(drawn.token)
        run = sampler.take_forced() if drawn.token not in sampler.end_ids else ()
        if drawn.logprob is not None:
            logprobs += [drawn.logprob, *map(TokenLogprob, run)]
        tokens.append(drawn.token)
        forced += range(len(tokens), len(tokens) + len(run))
        tokens += run
        while accepted < len(tokens) and (after := span.follower(row, tokens[accepted])) is not None:
            row, accepted = after, accepted + 1
        if accepted < len(tokens) or tokens[-1] in sampler.end_ids:
            return Exact(row, tuple(tokens), accepted, tuple(forced), tuple(logprobs), tuple(lossy))


def draw_path(
    sampler: Sampler,
    scores: Scores,
    position: int,
    fixed: Sequence[int | None],
    links: Links | None = None,
    before: int = 0,
) -> tuple[Draft, ...]:
    """Tokens for the positions from `position` on, each where the ones before lead; none is taken in the end.

    `scores` [len(fixed), vocab], which `links` change; `before` is the token before the first. A token of `fixed`
    stays where the grammar allows it. Raises EngineError.
    """
    path: list[Draft] = []
    forced: deque[int] = deque()
    taken = 0
    for index, stands in enumerate(fixed):
        if links is not None:
            links.step(path[-1].token if path else before)
        if forced:
            path.append(sampler.forced_draft(forced.popleft()))
        else:
            stays = stands is not None and sampler.accepts(stands)
            draft = (
                Draft(stands)
                if stays and stands is not None
                else sampler.draw(scores[index], position + index, links=links)
            )
            path.append(draft)
            sampler.take(draft.token)
            forced.extend(sampler.take_forced() if draft.token not in sampler.end_ids else ())
            taken += 1 + len(forced)
        if path[-1].token in sampler.end_ids:
            break
    sampler.back(taken)
    return tuple(path)


def follow(sampler: Sampler, tokens: Sequence[int], source: DraftSource) -> tuple[Draft, ...]:
    """As many of `tokens` as the grammar can follow, with what it forces between them; none is taken in the end."""
    path: list[Draft] = []
    while len(path) < len(tokens):
        token = tokens[len(path)]
        if token in sampler.end_ids or not sampler.accepts(token):
            break
        sampler.take(token)
        path.append(Draft(token, 1.0, source))
        run = sampler.take_forced()
        agrees = run == tuple(tokens[len(path) : len(path) + len(run)])
        path += map(sampler.forced_draft, run)
        if not agrees or (run and run[-1] in sampler.end_ids):
            break
    sampler.back(len(path))
    return tuple(path)
