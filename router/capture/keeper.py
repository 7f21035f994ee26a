"""Captures while the service runs: off the request's path, and old content goes day by day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType

from triroute.router.capture.content import Captured, ContentStore

log = logging.getLogger("triroute.capture")

_DAY_SECONDS = 86_400


class Keeper:
    """`async with Keeper(store, days)`: an outage of the store is logged once, and fails nothing."""

    def __init__(self, store: ContentStore, days: float, removed: Callable[[int], None] = lambda count: None) -> None:
        self.store = store
        self.days = days
        self.broken = False
        self._removed = removed
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
                count = await asyncio.to_thread(self.store.purge, self.days)
            except OSError as error:
                log.error("old content can't be removed: %s", error)
            else:
                if count:
                    log.info("removed the content of %s steps, older than %g days", count, self.days)
                    self._removed(count)
            await asyncio.sleep(_DAY_SECONDS)
