"""One router follows the store: each change is taken or refused, and acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Callable

from triroute.router.errors import InvalidPolicy, NotFound, StoreUnavailable
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.load import Policy, parse_safely
from triroute.router.policy.store import ANY, Acknowledgement, Change, Kind, Move, Store
from triroute.router.policy.store.last_good import Copy, LastGood
from triroute.router.policy.trial import Candidate
from triroute.router.policy.trial import candidate as candidates
from triroute.router.policy.trial.stopped import StoppedCanaries

log = logging.getLogger("triroute.policy")

_POLL_SECONDS = (1.0, 2.0)
_RETRY_SECONDS = (0.25, 0.75)
_jitter = random.Random()  # its own: a test or a program that seeds the shared one is not disturbed


class Follower:
    """Keeps `live` at what the store says. The store may come and go; what is served stays."""

    def __init__(
        self,
        store: Store,
        live: ActivePolicy,
        first: Copy,
        last_good: LastGood,
        replica: str,
        stopped: StoppedCanaries | None = None,
    ) -> None:
        self.store = store
        self.live = live
        self.replica = replica
        self._last_good = last_good
        self._stopped = stopped or StoppedCanaries()
        self._serving = first
        self._seen: Change | None = None
        self._error = ""
        self._catching_up = asyncio.Lock()
        self._trouble = ""
        self._written = first
        self._writing: asyncio.Task[None] | None = None
        self.on_change: Callable[[Change, str], None] = lambda change, error: None  # taken, or refused with an error

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.catch_up()
                await self.store.wait(self.number, _jitter.uniform(*_POLL_SECONDS))
            except StoreUnavailable:  # the store's breaker has logged it
                await asyncio.sleep(_jitter.uniform(*_RETRY_SECONDS))
            except Exception as error:  # a bug must not end this task; once a kind is enough to log
                if repr(error) != self._trouble:
                    log.exception("following the policy store failed by a bug of ours")
                self._trouble = repr(error)
                await asyncio.sleep(_jitter.uniform(*_RETRY_SECONDS))

    async def catch_up(self) -> None:
        """Take the latest change, if it is new, and say so. Raises StoreUnavailable."""
        async with self._catching_up:
            latest = await self.store.latest()
            if latest is None or self._is_older_seed(latest):
                latest = await self._seed()
            if self._seen is None or _state(latest) != _state(self._seen):
                await self._take(latest)
            await self.store.acknowledge(self._acknowledgement(latest))

    @property
    def number(self) -> int:
        """Of the latest change that was seen."""
        return self._seen.number if self._seen else 0

    @property
    def candidate_text(self) -> str:
        """Of the policy on trial; empty where there is none."""
        return self._serving.candidate_text

    def _is_older_seed(self, latest: Change) -> bool:
        """After the store has lost its data, another router may have written an older policy than ours."""
        return latest.kind is Kind.SEED and latest.number < self._serving.number

    async def _seed(self) -> Change:
        """Write what is served to a store that is empty."""
        mine = self._serving
        where = f"the store was empty; {self.replica} wrote what it serves"
        candidate, text = candidates.loads(mine.candidate), mine.candidate_text
        move = Move(Kind.SEED, mine.revision, mine.text, self.replica, where, ANY, mine.number, candidate, text)
        return await self.store.move(move)

    async def _take(self, change: Change) -> None:
        self._error = ""
        try:
            if change.revision != self._serving.revision:
                self.live.put_on_trial(None, None, _why(change))
                await self._serve(change)
            await self._try(change)
        except (InvalidPolicy, NotFound) as error:
            self._error = error.message
        self._seen = change
        self.on_change(change, self._error)

    async def _serve(self, change: Change) -> None:
        """Raises InvalidPolicy, NotFound or StoreUnavailable."""
        text, policy = await self._fetch(change.revision, f"policy revision {change.revision[:12]}")
        self.live.swap(policy, _why(change))
        await self._keep(Copy(change.number, change.revision, text, self._serving.file_revision))

    async def _try(self, change: Change) -> None:
        """Put on trial what the change says, beside the policy that is served. Raises as `_serve` does."""
        candidate, running = change.candidate, self.live.trial
        text, policy = "", None
        try:
            if candidate is not None and running is not None and running.candidate.trial == candidate.trial:
                text, policy = self._serving.candidate_text, None if candidate.stopped else running.policy
            elif candidate is not None and not candidate.stopped:
                text, policy = await self._fetch(candidate.revision, f"candidate {candidate.revision[:12]}")
        finally:
            self.live.put_on_trial(candidate, policy, _why(change))
        if candidate is not None and candidate.percent:
            await asyncio.to_thread(self._stopped.note, change.revision, candidate.revision, candidate.stopped)
        kept = candidate.dumps() if candidate else ""
        await self._keep(dataclasses.replace(self._serving, number=change.number, candidate=kept, candidate_text=text))

    async def _fetch(self, revision: str, what: str) -> tuple[str, Policy]:
        """A revision's text, and the policy in it; a bad one is refused. Raises as `_serve` does."""
        try:
            text = await self.store.text(revision)
            policy = await asyncio.to_thread(parse_safely, text, what)
        except (InvalidPolicy, NotFound) as error:
            self.live.refuse(what, error.message)
            raise
        if policy.revision != revision:
            # Another version of Triroute may compute another revision; decisions carry the one that the history knows.
            policy = dataclasses.replace(policy, revision=revision)
        return text, policy

    async def _keep(self, copy: Copy) -> None:
        if copy == self._serving:
            return
        self._serving = copy
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await asyncio.shield(self._writing)

    async def _write(self) -> None:
        """One after the other, so that the copy that is on disk at last is the latest."""
        while self._written != self._serving:
            copy = self._serving
            await asyncio.to_thread(self._last_good.write, copy)
            self._written = copy

    async def settle(self) -> None:
        """Wait until what is served is on disk, after `run` was cancelled."""
        if self._writing is not None:
            await self._writing

    async def note_file(self, revision: str) -> None:
        """The policy's file has this revision now: a later start compares it with the file that it finds."""
        await self._keep(dataclasses.replace(self._serving, file_revision=revision))

    def _acknowledgement(self, latest: Change) -> Acknowledgement:
        now = time.time_ns() // 1000
        accepted, serving = not self._error, self._serving.revision
        return Acknowledgement(self.replica, latest.number, latest.revision, accepted, self._error, serving, now)


def _state(change: Change) -> tuple[int, str, Candidate | None]:
    """What is followed of a change. Its number alone will not do: a store that lost its data counts anew."""
    return change.number, change.revision, change.candidate


def _why(change: Change) -> str:
    return f"{change.kind.value} by {change.author}: {change.reason}"
