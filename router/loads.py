"""How busy an engine was, to and from messages."""

from __future__ import annotations

import dataclasses

from triroute.proto import router_pb2
from triroute.router.types import FleetLoad, Held, Load, Trip


def from_load(load: Load) -> router_pb2.LoadSeen:
    """For the record."""
    return router_pb2.LoadSeen(
        running=load.running,
        waiting=load.waiting,
        cache_used=load.cache_used,
        fleet=_from_fleet(load.fleet),
        switches=_from_switches(load),
    )


def to_load(message: router_pb2.LoadSeen | router_pb2.HeldLoad) -> Load:
    """What a record says of it."""
    watched = tuple((_trip(switch), switch.tripped) for switch in message.switches)
    return Load(
        message.running,
        message.waiting,
        message.cache_used,
        frozenset(trip for trip, on in watched if on),
        tuple(trip for trip, _ in watched),
        _to_fleet(message.fleet) if message.HasField("fleet") else None,
    )


def from_held(held: Held) -> router_pb2.HeldLoad:
    """For the decision."""
    load = held.load
    return router_pb2.HeldLoad(
        since_us=held.since_us,
        router=held.router,
        running=load.running,
        waiting=load.waiting,
        cache_used=load.cache_used,
        fleet=_from_fleet(load.fleet),
        switches=_from_switches(load),
    )


def to_held(message: router_pb2.HeldLoad) -> Held:
    """What a decision says of it."""
    return Held(to_load(message), message.since_us, message.router)


def _from_fleet(fleet: FleetLoad | None) -> router_pb2.FleetLoad | None:
    return router_pb2.FleetLoad(**dataclasses.asdict(fleet)) if fleet else None


def _to_fleet(message: router_pb2.FleetLoad) -> FleetLoad:
    return FleetLoad(message.routers, message.running, message.waiting, message.cache_used)


def _from_switches(load: Load) -> list[router_pb2.Switch]:
    return [
        router_pb2.Switch(
            figure=trip.figure,
            bound=trip.bound,
            inclusive=trip.inclusive,
            reset=trip.reset,
            tripped=trip in load.tripped,
        )
        for trip in load.watched
    ]


def _trip(switch: router_pb2.Switch) -> Trip:
    return Trip(switch.figure, switch.bound, switch.inclusive, switch.reset)
