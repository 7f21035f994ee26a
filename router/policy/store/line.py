"""A router's line to its Redis: short timeouts, and one breaker for all that goes over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from triroute.router.errors import StartFailed
from triroute.router.policy.store.breaker import Breaker

TIMEOUT_SECONDS = 0.05
_TRIES = 3  # of a call on behalf of an operator


class Line:
    """Every call takes at most 50 ms a try; after three failures in a row, calls fail at once for half a second."""

    def __init__(self, url: str) -> None:
        """Raises StartFailed for a URL that is none."""
        self.redis = client_of(url, TIMEOUT_SECONDS)
        self.breaker = Breaker(f"Redis at {_shown(url)}")

    async def call(
        self, call: Callable[[], Awaitable[Any]], limit: float = TIMEOUT_SECONDS, tries: int = _TRIES
    ) -> Any:
        """Raises StoreUnavailable. A call must bear to be made twice."""
        for attempt in range(1, tries + 1):
            self.breaker.check()
            try:
                async with asyncio.timeout(limit):
                    answer = await call()
            except (RedisError, OSError, TimeoutError) as error:
                _leave_if_cancelled()
                unavailable = self.breaker.failed(str(error) or f"no answer in {limit * 1000:.0f} ms")
                if attempt == tries or self.breaker.open:
                    raise unavailable from error
            else:
                _leave_if_cancelled()
                self.breaker.succeeded()
                return answer
        raise AssertionError("unreachable: the last try returns or raises")


def _leave_if_cancelled() -> None:
    """The client may swallow a cancellation that comes while it connects."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def client_of(url: str, timeout: float | None) -> Any:
    """A client without retries of its own: the breaker must see each failure. Raises StartFailed."""
    try:
        return Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            client_name="triroute",
        )
    except ValueError as error:
        raise StartFailed(
            f"--redis {_shown(url)} is no URL of a Redis; write redis://HOST:PORT/DB, rediss://... or unix://PATH"
        ) from error


def _shown(url: str) -> str:
    """Without a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}".partition("?")[0]
