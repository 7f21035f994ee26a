"""What one router tells the others, a few times a second; and pins of sessions, as text for a store and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


def from_pin(pin: Pin) -> str:
    """As JSON."""
    load, fleet = pin.held.load, pin.held.load.fleet
    return _compact(
        {
            "key": pin.key,
            "router": pin.held.router,
            "since": pin.held.since_us,
            "until": pin.until_us,
            "load": [load.running, load.waiting, load.cache_used],
            "fleet": fleet and [fleet.routers, fleet.running, fleet.waiting, fleet.cache_used],
            "tripped": [[trip.figure, trip.bound, trip.inclusive, trip.reset] for trip in load.tripped],
        }
    )


def to_pin(text: str) -> Pin | None:
    """None for what no router has written."""
    try:
        found = json.loads(text)
        held = Held(_load(found), int(found["since"]), str(found["router"]))
        return Pin(str(found["key"]), held, int(found["until"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _load(found: dict[str, Any]) -> Load:
    running, waiting, cache_used = found["load"]
    tripped = frozenset(Trip(str(name), float(high), bool(at), float(low)) for name, high, at, low in found["tripped"])
    fleet = None
    if found["fleet"]:
        routers, all_running, all_waiting, mean = found["fleet"]
        fleet = FleetLoad(int(routers), int(all_running), int(all_waiting), float(mean))
    return Load(int(running), int(waiting), float(cache_used), tripped=tripped, fleet=fleet)


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
