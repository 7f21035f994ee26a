"""Captures while the service runs: off the request's path, and old content goes day by day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType

from triroute.router.capture.content import Captured, ContentStore
from triroute.router.errors import AuditUnavailable

log = logging.getLogger("triroute.capture")

_DAY_SECONDS, _AGAIN_SECONDS = 86_400, 600
_AT_ONCE = 1_000  # requests that one entry of the log names

Tell = Callable[[Sequence[str]], Future[None]]


class Keeper:
    """`async with Keeper(store, days, tell)`: an outage of the store is logged once, and fails nothing.

    `tell` is told of requests that will be removed, and done, or fails with AuditUnavailable, once that is on the disk.
    """

    def __init__(self, store: ContentStore, days: float, tell: Tell) -> None:
        self.store = store
        self.days = days
        self.broken = False
        self._tell = tell
        self._purging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Keeper:
        self._purging = asyncio.create_task(self._purge())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.gather(self._purging, return_exceptions=True)

    async def keep(self, request_id: str, captured: Captured) -> bool:
        """Whether it is kept, for good."""
        try:
            await asyncio.to_thread(self.store.put, request_id, captured)
        except OSError as error:
            if not self.broken:
                log.error("content can't be captured: %s; steps go on without", error)
            self.broken = True
            return False
        if self.broken:
            log.warning("content is captured again, in %s", self.store.path)
        self.broken = False
        return True

    async def _purge(self) -> None:
        while True:
            try:
                count = await self._remove_old()
            except (OSError, AuditUnavailable) as error:
                log.error("old content can't be removed yet: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                if count:
                    log.info("removed the content of %s steps, older than %g days", count, self.days)
                await asyncio.sleep(_DAY_SECONDS)

    async def _remove_old(self) -> int:
        """Nothing goes untold. After a crash in between it is told and removed once more."""
        count = 0
        while old := await asyncio.to_thread(self.store.older, self.days, _AT_ONCE):
            await asyncio.wrap_future(self._tell(old))
            count += await asyncio.to_thread(self.store.remove, old)
        return count
