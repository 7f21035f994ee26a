"""Who runs in the next pass: every sequence that decodes, and one chunk of one prompt.

A sequence decodes once its last chunk of tokens is all that is not cached: that chunk and the first token share a pass.

Pages are lent as sequences grow. When there are none left, the youngest is preempted: it gives its pages back, waits
at the front of the queue, and is prefilled again later. The oldest always has what it needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from triroute.engine.kv_cache import KVCache, pages_for
from triroute.engine.modes.base import Company, View
from triroute.engine.sequence import Sequence
from triroute.engine.span import Span
from triroute.engine.types import Load

_UNDISTURBED = 4  # chunks at once where nobody waits for the pass
_FEW = 16  # more pending tokens than these make a sequence the one of a pass that prefills


@dataclass(frozen=True, slots=True)
class Turn:
    """One sequence's part of a pass. `view` is None for a prefill chunk."""

    sequence: Sequence
    span: Span
    view: View | None


class Scheduler:
    """Owns the queue and the running set. Waiting sequences are admitted in order, as the cache has room."""

    def __init__(self, cache: KVCache, max_running: int, prefill_chunk: int) -> None:
        self.cache = cache
        self.max_running = max_running
        self.prefill_chunk = prefill_chunk
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    def admit(self) -> None:
        """Move sequences from the queue into the running set."""
        while self.waiting and len(self.running) < self.max_running:
            sequence = self.waiting[0]
            borrowed = self.cache.borrow(sequence.tokens[:-1])
            if self.running and pages_for(len(sequence.tokens) + 1) - len(borrowed) > self.cache.available:
                self.cache.release(borrowed)
                return
            self.waiting.popleft()
            self.running.append(sequence)
            sequence.admit(borrowed)

    def schedule(self) -> list[Turn]:
        """The turns of the next pass. One prompt at a time bounds what a pass can cost those who decode."""
        turns: list[Turn] = []
        prefilling = False
        for sequence in [*self.running]:
            prefills = sequence.pending > _FEW
            if sequence not in self.running or (prefills and prefilling):  # preempted by an older one; busy
                continue
            turn = self._turn(sequence)
            if self._make_room(sequence, sequence.cached + turn.span.width):
                turns = [other for other in turns if other.sequence in self.running]
                turns.append(turn)
                prefilling = prefilling or prefills
        return turns

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it is, and take its pages back; others may borrow them."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._take_back(sequence)

    def publish(self, sequence: Sequence) -> None:
        """Let others borrow what a sequence has cached."""
        self.cache.publish(sequence.tokens[: sequence.cached], sequence.pages)

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request, running or waiting."""
        return next((s for s in self._all() if s.request.request_id == request_id), None)

    def load(self) -> Load:
        """How busy the engine is."""
        return Load(len(self.running), len(self.waiting), self.cache.used, self.cache.tokens)

    def check_integrity(self) -> None:
        """Raise RuntimeError unless the cache is lent to exactly the running sequences."""
        self.cache.check_integrity([sequence.pages for sequence in self._all()])

    def _turn(self, sequence: Sequence) -> Turn:
        chunk = self.prefill_chunk if self._keeps_waiting(sequence) else _UNDISTURBED * self.prefill_chunk
        if sequence.pending > chunk - sequence.cached % chunk:
            return Turn(sequence, sequence.prefill_span(chunk), None)
        others = sum(other.rows for other in self.running) - sequence.rows
        view = sequence.view(Company(len(self.running) - 1, others))
        return Turn(sequence, sequence.mode.plan(view), view)

    def _keeps_waiting(self, sequence: Sequence) -> bool:
        """Whether others decode, and get nothing until a chunk of this one is through."""
        return any(other is not sequence and other.pending <= _FEW for other in self.running)

    def _make_room(self, sequence: Sequence, tokens: int) -> bool:
        """Lend the pages that a turn needs, at the cost of younger sequences. False when it was itself the youngest."""
        while True:
            lent = self.cache.lend(pages_for(tokens) - len(sequence.pages))
            if lent is not None:
                sequence.pages += lent
                return True
            youngest = self.running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return False

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._take_back(sequence)
        sequence.preempt()
        self.waiting.appendleft(sequence)

    def _take_back(self, sequence: Sequence) -> None:
        self.publish(sequence)
        self.cache.release(sequence.pages)
        sequence.pages = []

    def _all(self) -> Iterable[Sequence]:
        return [*self.running, *self.waiting]
