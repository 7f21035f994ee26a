"""One router as a member of its fleet: a task that tells and hears, and what steps may ask without waiting."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import uuid
from collections.abc import Callable
from types import TracebackType

from triroute.router.errors import StoreUnavailable
from triroute.router.fleet.exchange import Exchange
from triroute.router.fleet.meter import Peers
from triroute.router.fleet.pulse import Pulse
from triroute.router.fleet.rates import Rates
from triroute.router.fleet.view import FleetView
from triroute.router.policy.live import ActivePolicy
from triroute.router.types import Load

log = logging.getLogger("triroute.fleet")

_BEAT_SECONDS = (0.2, 0.3)
_MOST_LIVES = 1_000
_MOST_TOLD = 100  # sessions, and tenants, a beat: so that no beat holds up the steps that share this thread
_jitter = random.Random()  # its own: a test or a program that seeds the shared one is not disturbed


class Member:
    """`async with Member(...)`: exchanging inside. Whatever the exchange does, `load` and `rates` answer at once."""

    def __init__(self, exchange: Exchange, live: ActivePolicy, own: Callable[[], Load], router: str) -> None:
        """`own`: this router's load."""
        self.rates = Rates()
        self._exchange = exchange
        self._live = live
        self._own = own
        self._router = router
        self._life = uuid.uuid4().hex
        self._view = FleetView()
        self._pulse = Pulse(router, self._life, 0, Load())
        self._owed = False  # the last pulse may not have been told
        self._numbers: dict[str, int] = {}
        self._trouble = ""
        live.sessions.router = router

    async def __aenter__(self) -> Member:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def load(self) -> Load:
        """Ours, with the fleet's where it is known."""
        return self._view.load(self._own())

    async def beat(self) -> None:
        """Tell and hear once. Raises StoreUnavailable."""
        if not self._owed:
            spent = self.rates.take_spent(_MOST_TOLD)
            self._pulse = Pulse(self._router, self._life, self._pulse.number + 1, self._own(), spent)
        else:  # with its number and what was spent as they were, so that nobody counts it twice
            self._pulse = dataclasses.replace(self._pulse, load=self._own())
        self._owed = True
        pins = self._live.sessions.take_new(_MOST_TOLD)
        try:
            news = await self._exchange.swap(self._pulse, pins)
        except BaseException:
            self._live.sessions.give_back(pins)
            raise
        self._owed = False
        others = [(age, pulse) for age, pulse in news.pulses if pulse.life != self._life]
        self._view.hear([(age, pulse) for age, pulse in others if pulse.router != self._router])
        for age, pulse in others:
            if pulse.number > self._numbers.get(pulse.life, 0):
                self._numbers[pulse.life] = pulse.number
                if len(self._numbers) > _MOST_LIVES:
                    del self._numbers[next(iter(self._numbers))]
                self.rates.hear(self._live.policy, pulse.spent, age)
        self.rates.peers = Peers(self._view.routers, self.rates.peers.heard + 1)
        self._live.sessions.hear(news.pins)

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except StoreUnavailable:  # the breaker has logged it
                pass
            except Exception as error:  # a bug must not end this task; once a kind is enough to log
                if repr(error) != self._trouble:
                    log.exception("exchanging with the fleet failed by a bug of ours")
                self._trouble = repr(error)
            await asyncio.sleep(_jitter.uniform(*_BEAT_SECONDS))
