"""A circuit breaker: a store that fails is left alone for a while, and one log line tells of each change."""

from __future__ import annotations

import logging
import time

from triroute.router.errors import StoreUnavailable

log = logging.getLogger("triroute.policy")


class Breaker:
    """Opens after `most` failures in a row, for `pause` seconds; then one call may try."""

    def __init__(self, name: str, most: int = 3, pause: float = 0.5) -> None:
        self.name = name
        self.error = ""  # of the latest call, empty when it went well
        self.failures = 0  # since the start
        self._most = most
        self._pause = pause
        self._in_a_row = 0
        self._closed_at = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are refused, or one may try."""
        return self._in_a_row >= self._most

    def check(self) -> None:
        """Raises StoreUnavailable while calls are refused."""
        if not self.open:
            return
        now = time.monotonic()
        if now < self._closed_at:
            raise StoreUnavailable(f"{self.name} does not answer: {self.error}", retry_ms=int(self._pause * 1000))
        self._closed_at = now + self._pause  # this call tries, the others wait for it

    def failed(self, error: str) -> StoreUnavailable:
        """Note a failure; the error to raise."""
        was_open = self.open
        self.error = error
        self.failures += 1
        self._in_a_row += 1
        if self.open:
            self._closed_at = time.monotonic() + self._pause
        if self.open and not was_open:
            log.warning("%s does not answer (%s); serving goes on with what is known", self.name, error)
        return StoreUnavailable(f"{self.name} does not answer: {error}", retry_ms=int(self._pause * 1000))

    def succeeded(self) -> None:
        """Note that a call went well."""
        if self.open:
            log.warning("%s answers again", self.name)
        self.error = ""
        self._in_a_row = 0
