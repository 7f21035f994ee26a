"""The load of all routers, as far as this one has heard lately."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TypeAlias

from triroute.router.fleet.pulse import Pulse
from triroute.router.types import FleetLoad, Load

FRESH_SECONDS = 2.0

Clock: TypeAlias = Callable[[], float]


class FleetView:
    """Fed in the background; `load` never waits."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, Load]] = {}
        self._read_at = float("-inf")

    def hear(self, pulses: list[tuple[float, Pulse]]) -> None:
        """What others told, each with its age in seconds; they are all that was told since the last call."""
        now = self._read_at = self._clock()
        for age, pulse in pulses:
            self._heard[pulse.router] = (now - age, pulse.load)
        self._heard = {router: (at, load) for router, (at, load) in self._heard.items() if now - at <= FRESH_SECONDS}

    @property
    def routers(self) -> int:
        """This one, and those that spoke within two seconds before the last news."""
        return 1 + len(self._heard)

    def load(self, own: Load) -> Load:
        """Ours, and with it the fleet's where others are known; without news for two seconds they are not."""
        now = self._clock()
        if not self._heard or now - self._read_at > FRESH_SECONDS:
            return own
        loads = [load for at, load in self._heard.values() if now - at <= FRESH_SECONDS]
        if not loads:
            return own
        loads.append(own)
        fleet = FleetLoad(
            len(loads),
            sum(load.running for load in loads),
            sum(load.waiting for load in loads),
            sum(load.cache_used for load in loads) / len(loads),
        )
        return dataclasses.replace(own, fleet=fleet)
