"""Everything that keeps the policy of one router: its file, its store, and the task that follows."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from types import TracebackType

from triroute.router.errors import InvalidPolicy, StoreUnavailable
from triroute.router.policy.follow import Follower
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.load import Policy, parse_safely
from triroute.router.policy.source import PolicySource, read_source
from triroute.router.policy.store import Kind, Move, Store
from triroute.router.policy.store.last_good import Copy, LastGood
from triroute.router.policy.store.memory import MemoryStore
from triroute.router.policy.store.redis import RedisStore
from triroute.router.policy.trial import Candidate
from triroute.router.policy.trial.steward import Steward
from triroute.router.policy.trial.stopped import StoppedCanaries
from triroute.router.policy.watch import watch
from triroute.router.settings import Settings

log = logging.getLogger("triroute.policy")


class PolicyKeeper:
    """`async with PolicyKeeper(settings) as keeper`: `keeper.live` follows the store inside.

    Without Redis the newest change wins, be it of the file or by Apply. With Redis the store is the truth: the file is
    what an empty store starts from, and is not watched.
    """

    def __init__(self, settings: Settings, replica: str = "router") -> None:
        """Find the first policy. Raises InvalidPolicy when neither the file nor the last good copy is one."""
        self.settings = settings
        self.store: Store = RedisStore(settings.redis, settings.fleet) if settings.redis else MemoryStore()
        self._stopped = StoppedCanaries(settings.stopped)
        last_good = LastGood(settings.last_good)
        policy, copy, source = _first(settings, last_good.read(), self._stopped)
        self.live = ActivePolicy(policy)
        self.follower = Follower(self.store, self.live, copy, last_good, replica, self._stopped)
        self.steward = Steward(self.store, self.live, self.follower)
        self._tasks: list[asyncio.Task[None]] = []
        self._source = source

    async def __aenter__(self) -> PolicyKeeper:
        if self._source is not None and self._source.problem:
            self._candidate_refused(self._source.problem)
        try:
            await self.follower.catch_up()
        except StoreUnavailable as error:
            log.warning("%s; starting with policy %s", error.message, self.live.policy.revision[:12])
        self._tasks = [asyncio.create_task(self.follower.run()), asyncio.create_task(self.steward.run())]
        if not self.settings.redis:
            watching = watch(self.settings.policy, self._source, self._file_changed, self._file_refused)
            self._tasks.append(asyncio.create_task(watching))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.follower.settle()
        await self.store.close()

    async def _file_changed(self, source: PolicySource) -> None:
        """The policy's file, or its candidate's."""
        before, self._source = self._source, source
        if source.problem:
            self._candidate_refused(source.problem)
        active = self.live.policy.revision
        if before is not None and source.mark == before.mark and source.policy.revision == active:
            return  # a comment, perhaps: what an operator has put on trial meanwhile stays
        candidate = _as_before(source.candidate, self.live) if source.policy.revision == active else source.candidate
        candidate = _unless_stopped(candidate, source.policy.revision, self._stopped)
        await self.store.move(
            Move(
                Kind.FILE,
                source.policy.revision,
                source.text,
                str(self.settings.policy),
                "the file changed",
                candidate=candidate,
                candidate_text=source.candidate_text,
            )
        )
        await self.follower.catch_up()
        await self.follower.note_file(source.mark)

    def _file_refused(self, error: InvalidPolicy) -> None:
        self.live.refuse("the policy's file", error.message)

    def _candidate_refused(self, problem: str) -> None:
        self.live.refuse("the candidate that the policy's file names", problem)


def _first(settings: Settings, copy: Copy | None, stopped: StoppedCanaries) -> tuple[Policy, Copy, PolicySource | None]:
    """The policy to start with, as a copy, and what the file holds. Raises InvalidPolicy."""
    try:
        source = read_source(settings.policy)
    except InvalidPolicy as error:
        kept = _parsed(copy)
        if copy is None or kept is None:
            raise
        log.error("starting with the last good policy, %s, since\n%s", copy.revision[:12], error.message)
        return kept, copy, None
    policy = source.policy
    candidate = _unless_stopped(source.candidate, policy.revision, stopped)
    tried = (candidate.dumps(), source.candidate_text) if candidate else ("", "")
    mine = Copy(0, policy.revision, source.text, source.mark, *tried)
    # A change by Apply outlives a restart, until the file is changed.
    if copy is None or not (settings.redis or copy.file_revision == source.mark):
        return policy, mine, source
    kept = _parsed(copy)
    return (policy, mine, source) if kept is None else (kept, copy, source)


def _as_before(candidate: Candidate | None, live: ActivePolicy) -> Candidate | None:
    """The same trial as before, where at most the percentage differs; and a canary that was stopped stays so."""
    known = live.candidate
    if candidate is None or known is None:
        return candidate
    if known.stopped and known.revision == candidate.revision and candidate.percent:
        return known
    return dataclasses.replace(candidate, trial=known.trial) if candidate.goes_on(known) else candidate


def _unless_stopped(candidate: Candidate | None, active: str, stopped: StoppedCanaries) -> Candidate | None:
    if candidate is None or not candidate.decides or (active, candidate.revision) not in stopped:
        return candidate
    log.warning(
        "canary %s was stopped before and does not start again by itself; `triroute policy canary start` starts it",
        candidate.revision[:12],
    )
    return dataclasses.replace(candidate, stopped=True)


def _parsed(copy: Copy | None) -> Policy | None:
    if copy is None:
        return None
    try:
        return parse_safely(copy.text, "the copy of the last good policy")
    except InvalidPolicy as error:
        log.error("it can't be used any more:\n%s", error.message)
        return None
