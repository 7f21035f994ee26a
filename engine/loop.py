"""The engine's loop: step = schedule, forward, advance, commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence as List

import numpy as np
from numpy.typing import NDArray

from triroute.engine.errors import EngineError
from triroute.engine.model import Block, Model
from triroute.engine.modes.base import Commit, Rows, Span
from triroute.engine.sampling import Drawn, draw
from triroute.engine.scheduler import Scheduler, Turn
from triroute.engine.sequence import Sequence
from triroute.engine.types import Failed, FinishReason

Scores = NDArray[np.float32]

log = logging.getLogger("triroute.engine")


class Loop:
    """Runs passes until nobody is left. Not thread-safe: one thread owns it."""

    def __init__(self, model: Model, scheduler: Scheduler) -> None:
        self.model = model
        self.scheduler = scheduler

    def step(self) -> bool:
        """Run one pass. False when there was nothing to do."""
        self.scheduler.admit()
        self._end_finished()
        turns = self.scheduler.schedule()
        if not turns:
            return False
        started = time.perf_counter()
        logits = self._forward(turns)
        answers = [self._advance(turn, rows) for turn, rows in zip(turns, logits, strict=True)]
        ended = time.perf_counter()
        for turn, answer in zip(turns, answers, strict=True):
            self._commit(turn, answer, started, ended, len(turns))
        return True

    def abort(self, request_id: str) -> bool:
        """End a request. False where it is not here."""
        sequence = self.scheduler.find(request_id)
        if sequence is None:
            return False
        self._end(sequence, FinishReason.ABORTED)
        return True

    def _forward(self, turns: List[Turn]) -> list[Scores]:
        """One pass; per turn the logits [rows asked for, vocab], exact rows first."""
        blocks, asked, counts, row = [], [], [], 0
        for turn in turns:
            sequence, span = turn.sequence, turn.span
            blocks.append(Block(span.tokens, sequence.cached, span.limits(sequence.cached), sequence.pages))
            rows = (
                [*range(span.exact_row, span.exact_row + len(span.expected) + 1)] if span.exact_row is not None else []
            )
            rows += span.propose
            asked += [row + wanted for wanted in rows]
            counts.append(len(rows))
            row += len(span.tokens)
        scores = self.model.run(blocks, self.scheduler.cache.storage, asked)
        return np.split(scores, np.cumsum(counts)[:-1])

    def _advance(self, turn: Turn, logits: Scores) -> Rows | EngineError:
        """Draw the tokens that a span asked for."""
        sequence, span = turn.sequence, turn.span
        sampling, after = sequence.request.sampling, sequence.cached + 1
        exact: list[Drawn] = []
        try:
            if span.exact_row is not None:
                exact = _draw_chain(sequence, span, logits, after + span.exact_row)
        except EngineError as error:
            return error
        proposals = logits[len(logits) - len(span.propose) :]
        proposed = [
            draw(row, sampling, after + slot, history=sequence.history)
            for row, slot in zip(proposals, span.propose, strict=True)
        ]
        if sampling.logprobs is not None:
            sequence.note(span, exact, proposed)
        tokens = tuple(drawn.token for drawn in exact)
        return Rows(tokens, tuple(drawn.token for drawn in proposed), tuple(drawn.confidence for drawn in proposed))

    def _commit(self, turn: Turn, answer: Rows | EngineError, started: float, ended: float, batch: int) -> None:
        sequence = turn.sequence
        if isinstance(answer, EngineError):
            self.scheduler.remove(sequence)
            sequence.sink(Failed(str(answer)))
            return
        absorbed = (
            Commit(written=len(turn.span.tokens)) if turn.view is None else sequence.mode.absorb(turn.view, answer)
        )
        sequence.commit(turn.span, absorbed, started, ended, batch)
        if turn.view is None and not sequence.uncached:
            self.scheduler.publish(sequence)
        if sequence.finish is not None:
            self._end(sequence, sequence.finish)

    def _end_finished(self) -> None:
        """End those that were resumed after their last token."""
        for sequence in [s for s in self.scheduler.running if s.finish is not None]:
            self._end(sequence, sequence.finish or FinishReason.STOP)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self.scheduler.remove(sequence)
        sequence.end(reason)


def _draw_chain(sequence: Sequence, span: Span, logits: Scores, position: int) -> list[Drawn]:
    """Exact tokens from `position` on: one, and one more for each expected token that was drawn."""
    drawn: list[Drawn] = []
    constraint, history, expected = sequence.constraint, sequence.history, span.expected
    block = span.tokens[1 : 1 + (span.exact_row or 0)]
    if history is not None:
        for token in block:
            history.push(token)
    for index in range(len(expected) + 1):
        allowed = constraint.allowed() if constraint is not None else None
        drawn.append(draw(logits[index], sequence.request.sampling, position + index, allowed, history))
        token = drawn[-1].token
        if history is not None:
            history.push(token)
        if constraint is not None:
            constraint.advance(token)
        if index == len(expected) or token != expected[index] or token in sequence.end_ids:
            break
    if history is not None:  # the commit pushes what it keeps
        history.pop(len(block) + len(drawn))
    return drawn
