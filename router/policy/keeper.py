"""Everything that keeps the policy of one router: its file, its store, and the task that follows."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from triroute.router.errors import InvalidPolicy, StoreUnavailable
from triroute.router.policy.follow import Follower, parse_safely
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.load import Policy, read_text
from triroute.router.policy.store import Kind, Move, Store
from triroute.router.policy.store.last_good import Copy, LastGood
from triroute.router.policy.store.memory import MemoryStore
from triroute.router.policy.store.redis import RedisStore
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
        last_good = LastGood(settings.last_good)
        policy, copy, self._file_text = _first(settings, last_good.read())
        self.live = ActivePolicy(policy)
        self.follower = Follower(self.store, self.live, copy, last_good, replica)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> PolicyKeeper:
        try:
            await self.follower.catch_up()
        except StoreUnavailable as error:
            log.warning("%s; starting with policy %s", error.message, self.live.policy.revision[:12])
        self._tasks = [asyncio.create_task(self.follower.run())]
        if not self.settings.redis:
            path = self.settings.policy
            self._tasks.append(
                asyncio.create_task(watch(path, self._file_text, self._file_changed, self._file_refused))
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    async def _file_changed(self, text: str) -> None:
        path = self.settings.policy
        try:
            policy = await asyncio.to_thread(parse_safely, text, str(path))
        except InvalidPolicy as error:
            self._file_refused(error)
            return
        await self.store.move(Move(Kind.FILE, policy.revision, text, str(path), "the file changed"))
        await self.follower.catch_up()
        await self.follower.note_file(policy.revision)

    def _file_refused(self, error: InvalidPolicy) -> None:
        self.live.refuse("the policy's file", error.message)


def _first(settings: Settings, copy: Copy | None) -> tuple[Policy, Copy, str]:
    """The policy to start with, as a copy, and the text of the file. Raises InvalidPolicy."""
    try:
        text = read_text(settings.policy)
        file = parse_safely(text, str(settings.policy))
    except InvalidPolicy as error:
        kept = _parsed(copy)
        if copy is None or kept is None:
            raise
        log.error("starting with the last good policy, %s, since\n%s", copy.revision[:12], error.message)
        return kept, copy, ""
    mine = Copy(0, file.revision, text, file.revision)
    # A change by Apply outlives a restart, until the file is changed.
    if copy is None or not (settings.redis or copy.file_revision == file.revision):
        return file, mine, text
    kept = _parsed(copy)
    return (file, mine, text) if kept is None else (kept, copy, text)


def _parsed(copy: Copy | None) -> Policy | None:
    if copy is None:
        return None
    try:
        return parse_safely(copy.text, "the copy of the last good policy")
    except InvalidPolicy as error:
        log.error("it can't be used any more:\n%s", error.message)
        return None
