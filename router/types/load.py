"""How busy engines are, as policies see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trip:
    """A switch on a figure of the load: trips at `bound` (past it where not `inclusive`), resets at `reset`."""

    figure: str
    bound: float
    inclusive: bool
    reset: float

    def state(self, value: float) -> bool | None:
        """Tripped, reset, or None between the two: as it was before."""
        if value > self.bound or (self.inclusive and value == self.bound):
            return True
        return False if value <= self.reset else None


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """All routers of a fleet: their number, requests running and waiting at all engines, mean share of cache in use."""

    routers: int = 1
    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the engine is: requests running, requests waiting, share of the KV cache in use [0, 1].

    `watched`: the switches that were looked at, `tripped`: those of them that this load or earlier ones have tripped.
    `fleet`: None where no other router is known of.
    """

    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0
    tripped: frozenset[Trip] = frozenset()
    watched: tuple[Trip, ...] = ()
    fleet: FleetLoad | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The load by which a session's steps are judged: that of `router`, at `since_us` (microseconds since 1970 UTC)."""

    load: Load
    since_us: int
    router: str
