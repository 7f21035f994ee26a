"""Hysteresis: which switches of a policy past loads have left tripped. The one state of decisions, kept outside."""

from __future__ import annotations

import dataclasses

from triroute.router.policy.facts import FACTS
from triroute.router.types import Load, Request, Step, StepKind, Trip

_NOTHING = Request(), Step(StepKind.UNKNOWN, 0.0)


class Latches:
    """Feed it each load before deciding. Survives a change of policy: equal switches keep their state.

    What a load says of switches itself, as recorded ones do, counts.
    """

    def __init__(self) -> None:
        self._tripped: frozenset[Trip] = frozenset()

    def see(self, load: Load, trips: tuple[Trip, ...]) -> Load:
        """The load, with the switches among `trips` that are tripped now."""
        if not trips:
            return load
        self._tripped = frozenset(trip for trip in trips if self._is_tripped(trip, load))
        return dataclasses.replace(load, tripped=self._tripped, watched=trips)

    def _is_tripped(self, trip: Trip, load: Load) -> bool:
        if trip in load.watched:
            return trip in load.tripped
        state = trip.state(figure_of(load, trip))
        return trip in self._tripped if state is None else state


def figure_of(load: Load, trip: Trip) -> float:
    """What the switch looks at."""
    return float(FACTS[f"load.{trip.figure}"].read(*_NOTHING, load))
