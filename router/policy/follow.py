"""One router follows the store: each change is taken or refused, and acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time

from triroute.router.errors import InvalidPolicy, NotFound, StoreUnavailable, TrirouteError
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.load import Policy, parse
from triroute.router.policy.store import Acknowledgement, Change, Kind, Move, Store
from triroute.router.policy.store.last_good import Copy, LastGood

log = logging.getLogger("triroute.policy")

_POLL_SECONDS = (1.0, 2.0)
_RETRY_SECONDS = (0.25, 0.75)
_jitter = random.Random()  # its own: a test or a program that seeds the shared one is not disturbed


class Follower:
    """Keeps `live` at what the store says. The store may come and go; what is served stays."""

    def __init__(self, store: Store, live: ActivePolicy, first: Copy, last_good: LastGood, replica: str) -> None:
        self.store = store
        self.live = live
        self.replica = replica
        self._last_good = last_good
        self._serving = first
        self._seen = (first.number, first.revision)
        self._error = ""
        self._catching_up = asyncio.Lock()
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.catch_up()
                await self.store.wait(self._seen[0], _jitter.uniform(*_POLL_SECONDS))
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
            if (latest.number, latest.revision) != self._seen:
                await self._take(latest)
            await self.store.acknowledge(self._acknowledgement())

    def _is_older_seed(self, latest: Change) -> bool:
        """After the store has lost its data, another router may have written an older policy than ours."""
        return latest.kind is Kind.SEED and latest.number < self._serving.number

    async def _seed(self) -> Change:
        """Write what is served to a store that is empty."""
        mine = self._serving
        where = f"the store was empty; {self.replica} wrote what it serves"
        return await self.store.move(Move(Kind.SEED, mine.revision, mine.text, self.replica, where, number=mine.number))

    async def _take(self, change: Change) -> None:
        what = f"policy revision {change.revision[:12]}"
        self._error = ""
        try:
            if change.revision != self._serving.revision:
                await self._serve(change, what)
            else:
                await self._keep(dataclasses.replace(self._serving, number=change.number))
        except (InvalidPolicy, NotFound) as error:
            self._error = error.message
            self.live.refuse(what, error.message)
        self._seen = (change.number, change.revision)

    async def _serve(self, change: Change, what: str) -> None:
        """Raises InvalidPolicy, NotFound or StoreUnavailable."""
        text = await self.store.text(change.revision)
        policy = await asyncio.to_thread(parse_safely, text, what)
        if policy.revision != change.revision:
            # Another version of Triroute may compute another revision; decisions carry the one that the history knows.
            policy = dataclasses.replace(policy, revision=change.revision)
        self.live.swap(policy, f"{change.kind.value} by {change.author}: {change.reason}")
        await self._keep(Copy(change.number, change.revision, text, self._serving.file_revision))

    async def _keep(self, copy: Copy) -> None:
        self._serving = copy
        await asyncio.to_thread(self._last_good.write, copy)

    async def note_file(self, revision: str) -> None:
        """The policy's file has this revision now: a later start compares it with the file that it finds."""
        await self._keep(dataclasses.replace(self._serving, file_revision=revision))

    def _acknowledgement(self) -> Acknowledgement:
        number, revision = self._seen
        now = time.time_ns() // 1000
        accepted = not self._error
        return Acknowledgement(self.replica, number, revision, accepted, self._error, self._serving.revision, now)


def parse_safely(text: str, source: str) -> Policy:
    """`parse`, where a bug in it refuses the policy too. Raises InvalidPolicy."""
    try:
        return parse(text, source)
    except TrirouteError:
        raise
    except Exception as error:
        log.exception("%s can't be parsed by a bug of ours", source)
        raise InvalidPolicy(f"{source}:1:1: can't be parsed ({type(error).__name__}); the log has more") from error
