"""What one router tells the others, a few times a second; and pins of sessions, as text for a store and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from triroute.router.fleet.rates import Spent
from triroute.router.policy.sessions import Pin
from triroute.router.types import FleetLoad, Held, Load, Trip


@dataclass(frozen=True, slots=True)
class Pulse:
    """`life` names one run of a router, `number` counts its pulses: what was spent counts once a number."""

    router: str
    life: str
    number: int
    load: Load
    spent: Mapping[str, Spent] = field(default_factory=dict)


def from_pulse(pulse: Pulse) -> str:
    """As JSON."""
    load = pulse.load
    return _compact(
        {
            "router": pulse.router,
            "life": pulse.life,
            "number": pulse.number,
            "load": [load.running, load.waiting, load.cache_used],
            "spent": {tenant: [spent.requests, spent.tokens] for tenant, spent in pulse.spent.items()},
        }
    )


def to_pulse(text: str) -> Pulse | None:
    """None for what no router has written."""
    try:
        found = json.loads(text)
        running, waiting, cache_used = found["load"]
        load = Load(int(running), int(waiting), float(cache_used))
        spent = {str(name): Spent(float(asked), float(used)) for name, (asked, used) in found["spent"].items()}
        return Pulse(str(found["router"]), str(found["life"]), int(found["number"]), load, spent)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def from_pins(pins: Iterable[Pin]) -> str:
    """As JSON: a list of lists, since many are told at once."""
    return _compact([_from_pin(pin) for pin in pins])


def to_pins(text: str) -> list[Pin]:
    """Empty for what no router has written."""
    try:
        return [_to_pin(*found) for found in json.loads(text)]
    except (ValueError, TypeError, AttributeError):
        return []


def _from_pin(pin: Pin) -> list[Any]:
    held, load, fleet = pin.held, pin.held.load, pin.held.load.fleet
    return [
        *(pin.key, held.router, held.since_us, pin.until_us),
        [load.running, load.waiting, load.cache_used],
        fleet and [fleet.routers, fleet.running, fleet.waiting, fleet.cache_used],
        [[trip.figure, trip.bound, trip.inclusive, trip.reset] for trip in load.tripped],
    ]


def _to_pin(key: Any, router: Any, since: Any, until: Any, load: Any, fleet: Any, tripped: Any) -> Pin:
    running, waiting, cache_used = load
    trips = frozenset(Trip(str(name), float(high), bool(at), float(low)) for name, high, at, low in tripped)
    seen = Load(int(running), int(waiting), float(cache_used), tripped=trips, fleet=_fleet(*fleet) if fleet else None)
    return Pin(str(key), Held(seen, int(since), str(router)), int(until))


def _fleet(routers: Any, running: Any, waiting: Any, cache_used: Any) -> FleetLoad:
    return FleetLoad(int(routers), int(running), int(waiting), float(cache_used))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
