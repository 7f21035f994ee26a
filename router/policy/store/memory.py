"""The store of a router that stands alone."""

from __future__ import annotations

import asyncio
import time

from triroute.router.policy.store.base import (
    KEPT,
    Acknowledgement,
    Change,
    Kind,
    Move,
    StoreHealth,
    moved,
    one_of,
    overtaken,
    unknown,
)


class MemoryStore:
    """Keeps its changes until the process ends."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._changes: list[Change] = []
        self._said: dict[str, Acknowledgement] = {}
        self._tallies: dict[str, dict[str, str]] = {}
        self._moved = asyncio.Event()

    async def latest(self) -> Change | None:
        return self._changes[-1] if self._changes else None

    async def wait(self, after: int, seconds: float) -> None:
        self._moved.clear()
        latest = await self.latest()
        if latest is not None and latest.number > after:
            return
        try:
            await asyncio.wait_for(self._moved.wait(), seconds)
        except TimeoutError:
            return

    async def text(self, revision: str) -> str:
        if revision not in self._texts:
            raise unknown(revision)
        return self._texts[revision]

    async def find(self, prefix: str) -> str:
        return one_of(prefix, self._changes)

    async def move(self, move: Move) -> Change:
        latest = await self.latest()
        active = latest.revision if latest else ""
        if latest is not None and move.kind is Kind.SEED:
            return latest
        if latest is not None and (active, latest.candidate) == (move.revision, move.candidate):
            return latest
        if move.after not in (None, latest.number if latest else 0):
            raise overtaken()
        if move.expected not in (None, active):
            raise moved(active, move.expected or "")
        number = move.number if move.kind is Kind.SEED else (latest.number if latest else 0) + 1
        now = time.time_ns() // 1000
        previous = latest.previous if latest and active == move.revision else active
        change = Change(number, move.revision, previous, move.kind, move.author, move.reason, now, move.candidate)
        self._texts.setdefault(move.revision, move.text)
        if move.candidate is not None and move.candidate_text:
            self._texts.setdefault(move.candidate.revision, move.candidate_text)
        self._changes = [*self._changes[-KEPT + 1 :], change]
        self._moved.set()
        return change

    async def history(self, limit: int) -> list[Change]:
        return self._changes[::-1][:limit]

    async def acknowledge(self, said: Acknowledgement) -> None:
        self._said[said.replica] = said

    async def acknowledgements(self) -> list[Acknowledgement]:
        return [self._said[name] for name in sorted(self._said)]

    async def tell(self, trial: str, router: str, tally: str) -> None:
        self._tallies = {trial: {**self._tallies.get(trial, {}), router: tally}}

    async def told(self, trial: str) -> dict[str, str]:
        return self._tallies.get(trial, {})

    def health(self) -> StoreHealth:
        return StoreHealth("memory")

    async def close(self) -> None:
        return
