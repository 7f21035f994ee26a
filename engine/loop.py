"""The engine's loop: step = schedule, forward, advance, commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence as List
from itertools import accumulate

from triroute.engine.costs import Costs
from triroute.engine.drawing import Asked, draw_block, draw_next
from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.model import Block, Model
from triroute.engine.modes.base import Commit, Rows
from triroute.engine.scheduler import Scheduler, Turn
from triroute.engine.sequence import Sequence
from triroute.engine.types import Failed, FinishReason

log = logging.getLogger("triroute.engine")


class Loop:
    """Runs passes until nobody is left, and tells `costs` how long they took. Not thread-safe: one thread owns it."""

    def __init__(self, model: Model, scheduler: Scheduler, costs: Costs | None = None) -> None:
        self.model = model
        self.scheduler = scheduler
        self._costs = costs

    def step(self) -> bool:
        """Run one pass. False when there was nothing to do."""
        self.scheduler.admit()
        made_room = self._end_finished()
        turns = self.scheduler.schedule()
        if not turns:
            return made_room
        started = time.perf_counter()
        asked = self._forward(turns)
        answers = [self._advance(turn, rows) for turn, rows in zip(turns, asked, strict=True)]
        ended = time.perf_counter()
        rows = sum(turn.span.width for turn in turns)
        for turn, answer in zip(turns, answers, strict=True):
            self._commit(turn, answer, started, ended, len(turns), rows)
        return True

    def abort(self, request_id: str) -> bool:
        """End a request. False where it is not here."""
        sequence = self.scheduler.find(request_id)
        if sequence is None:
            return False
        self._end(sequence, FinishReason.ABORTED)
        return True

    def _forward(self, turns: List[Turn]) -> list[Asked]:
        """One pass; per turn what came of the rows that it asked for."""
        blocks = [Block.of(turn.span, turn.sequence.cached, turn.sequence.pages) for turn in turns]
        asked, row = [], 0
        for turn in turns:
            asked += [row + wanted for wanted in turn.span.asked]
            row += turn.span.width
        started = time.perf_counter()
        scores = self.model.run(blocks, self.scheduler.cache.storage, asked)
        if self._costs is not None:
            self._costs.observe(row, time.perf_counter() - started)
        states, ends = self.model.states(len(asked)), accumulate(len(turn.span.asked) for turn in turns)
        found = []
        for turn, end in zip(turns, ends, strict=True):
            part = slice(end - len(turn.span.asked), end)
            echo = turn.sequence.echo() if turn.span.branches and turn.span.exact is not None else None
            found.append(Asked(scores[part], states[part], self.model.hydra, echo))
        return found

    def _advance(self, turn: Turn, asked: Asked) -> Rows | EngineError:
        """Draw the tokens that a span asked for."""
        sequence, span = turn.sequence, turn.span
        try:
            if span.exact is not None:
                return draw_next(sequence.sampler, span, asked, sequence.cached)
            return Rows(drafts=draw_block(sequence.sampler, span, asked.scores, sequence.cached))
        except EngineError as error:
            return error

    def _commit(
        self, turn: Turn, answer: Rows | EngineError, started: float, ended: float, batch: int, rows: int
    ) -> None:
        sequence, prompt = turn.sequence, len(turn.sequence.request.prompt_ids)
        if isinstance(answer, EngineError):
            self.scheduler.remove(sequence)
            sequence.sink(_failed(answer))
            return
        fresh = sequence.cached < prompt
        sequence.commit(
            turn.span, sequence.mode.absorb(turn.view, answer) if turn.view else Commit(), started, ended, batch, rows
        )
        self.scheduler.cache.rollback(sequence.pages, sequence.cached)
        if fresh and sequence.cached >= prompt:
            self.scheduler.publish(sequence)
        if sequence.finish is not None:
            self._end(sequence, sequence.finish)

    def _end_finished(self) -> bool:
        """End those that have nothing left to draw when they begin; they made room for others where there were any."""
        finished = [s for s in self.scheduler.running if s.finish is not None]
        for sequence in finished:
            self._end(sequence, sequence.finish or FinishReason.STOP)
        return bool(finished)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self.scheduler.remove(sequence)
        sequence.end(reason)


def _failed(error: EngineError) -> Failed:
    return Failed(error.description, error.field) if isinstance(error, InvalidRequest) else Failed(str(error))
