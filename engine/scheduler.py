"""Who runs in the next pass: every sequence that decodes, and one chunk of one prompt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from triroute.engine.kv_cache import KVCache
from triroute.engine.modes.base import Span, View
from triroute.engine.sequence import Sequence
from triroute.engine.types import Load


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
            pages = self.cache.reserve(self.waiting[0].most_tokens)
            if pages is None:
                return
            sequence = self.waiting.popleft()
            self.running.append(sequence)
            sequence.admit(pages)

    def schedule(self) -> list[Turn]:
        """The turns of the next pass. One prompt at a time bounds what a pass can cost those who decode."""
        turns = []
        prefilling = False
        for sequence in self.running:
            if not sequence.uncached:
                view = sequence.view
                turns.append(Turn(sequence, sequence.mode.plan(view), view))
            elif not prefilling:
                prefilling = True
                turns.append(Turn(sequence, sequence.prefill_span(self.prefill_chunk), None))
        return turns

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it is, and take its cache back."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        if sequence.pages is not None:
            self.cache.release(sequence.pages)
            sequence.pages = None

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request, running or waiting."""
        return next((s for s in self._all() if s.request.request_id == request_id), None)

    def load(self) -> Load:
        """How busy the engine is."""
        return Load(len(self.running), len(self.waiting), self.cache.used, self.cache.tokens)

    def check_integrity(self) -> None:
        """Raise RuntimeError unless the cache is lent to exactly the running sequences."""
        self.cache.check_integrity([s.pages for s in self._all() if s.pages is not None])

    def _all(self) -> Iterable[Sequence]:
        return [*self.running, *self.waiting]
