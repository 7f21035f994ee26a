"""The exchange of a fleet: two streams in Redis 6.2 or newer, written and read in one round trip.

triroute:fleet:v1:{FLEET}:pulses     stream: what each router tells, a few times a second
triroute:fleet:v1:{FLEET}:sessions   stream: what sessions hold
"""

from __future__ import annotations

import logging
from typing import Any

from redis.exceptions import ResponseError

from triroute.router.errors import StoreUnavailable
from triroute.router.fleet.exchange import News
from triroute.router.fleet.pulse import Pulse, from_pins, from_pulse, to_pins, to_pulse
from triroute.router.policy.sessions import Pin
from triroute.router.policy.store.line import Line

log = logging.getLogger("triroute.fleet")

KEPT_PULSES, KEPT_SESSIONS = 2_000, 5_000  # entries
_PAGE = 20  # entries an answer: parsing one holds up the steps that share this thread
_KEPT_SECONDS = 24 * 3600


class RedisExchange:
    """One call a swap; what was told is trimmed by number, and gone a day after the last word."""

    def __init__(self, line: Line, fleet: str) -> None:
        prefix = f"triroute:fleet:v1:{{{fleet}}}"
        self._pulses, self._sessions = f"{prefix}:pulses", f"{prefix}:sessions"
        self._line = line
        self._refusal = ""
        self._read = {self._pulses: "0", self._sessions: "0"}

    async def swap(self, pulse: Pulse, pins: tuple[Pin, ...]) -> News:
        told, held = from_pulse(pulse), from_pins(pins)

        async def once() -> Any:
            async with self._line.redis.pipeline(transaction=False) as pipe:
                pipe.xadd(self._pulses, {"pulse": told}, maxlen=KEPT_PULSES, approximate=True)
                if pins:
                    pipe.xadd(self._sessions, {"pins": held}, maxlen=KEPT_SESSIONS, approximate=True)
                for key in self._read:
                    pipe.expire(key, _KEPT_SECONDS)
                pipe.xread(self._read, count=_PAGE)
                try:
                    return await pipe.execute()
                except ResponseError as error:  # Redis answers: others go on using the line
                    return error

        answers = await self._line.call(once, tries=1)
        self._note(str(answers) if isinstance(answers, ResponseError) else "")
        news, now, found = News([], []), _milliseconds(answers[0]), answers[-1]
        while found:
            for key, entries in found:
                for number, fields in entries:
                    self._read[key] = number
                    self._take(news, key, fields, max(0, now - _milliseconds(number)) / 1000)
            if all(len(entries) < _PAGE for _, entries in found):
                break
            try:
                found = await self._line.call(lambda: self._line.redis.xread(self._read, count=_PAGE), tries=1)
            except StoreUnavailable:  # what has been heard is heard, and it was told
                break
        return news

    def _note(self, refusal: str) -> None:
        """Log a change. Raises StoreUnavailable where Redis refuses."""
        before, self._refusal = self._refusal, refusal
        if refusal and refusal != before:
            log.warning("Redis refuses what routers tell each other (%s); each goes on with what it knows", refusal)
        elif before and not refusal:
            log.warning("Redis takes what routers tell each other again")
        if refusal:
            raise StoreUnavailable(f"Redis refuses: {refusal}")

    def _take(self, news: News, key: str, fields: dict[str, str], age: float) -> None:
        """What no router has written is passed over."""
        if key == self._pulses and (pulse := to_pulse(fields.get("pulse", ""))):
            news.pulses.append((age, pulse))
        elif key == self._sessions:
            news.pins.extend(to_pins(fields.get("pins", "")))


def _milliseconds(entry: str) -> int:
    return int(entry.partition("-")[0])
