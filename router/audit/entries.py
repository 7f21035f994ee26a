"""Entries of all kinds, for those who look at a log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from triroute.proto import audit_pb2
from triroute.router.audit.body import read_entry
from triroute.router.audit.database import opened
from triroute.router.audit.place import Place
from triroute.router.audit.store import SHORTEST_PREFIX, read_dictionaries
from triroute.router.errors import Damaged, NotFound

log = logging.getLogger("triroute.audit")

_LONGEST_NUMBER = 9  # digits


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry in its place. `stored` is how many bytes its body takes; None for a body that was removed.

    `damage` says why an entry whose body is there can't be read.
    """

    number: int
    leaf: bytes
    entry: audit_pb2.AuditEntry | None
    stored: int | None = None
    damage: str = ""

    @property
    def kind(self) -> str:
        if self.entry is None:
            return "damaged" if self.damage else "removed"
        return "step" if self.entry.HasField("record") else self.entry.event.kind

    @property
    def at_us(self) -> int:
        """When it happened, or began; microseconds since 1970 UTC."""
        if self.entry is None:
            return 0
        return self.entry.record.arrived_us if self.entry.HasField("record") else self.entry.event.at_us


def find_number(place: Place, wanted: str) -> int | None:
    """The entry that a short decimal number names; None where it is an id. Raises NotFound where there is neither."""
    if not wanted.isdecimal() or len(wanted) > _LONGEST_NUMBER:
        return None
    there = next(read_entries(place, number=int(wanted)), None) is not None
    if not there and len(wanted) < SHORTEST_PREFIX:
        raise NotFound(f"there is no entry {wanted} in {place}; `triroute audit list` shows the newest")
    return int(wanted) if there else None


def one_entry(place: Place, number: int) -> Logged:
    """An entry whose body is there and can be read. Raises NotFound, Damaged."""
    logged = next(read_entries(place, number=number), None)
    if logged is None:
        raise NotFound(f"there is no entry {number} in {place}; `triroute audit list` shows the newest")
    if logged.damage:
        raise Damaged(f"entry {number} of {place} is damaged: {logged.damage}; `triroute audit verify` says more")
    if logged.entry is None:
        raise NotFound(f"the body of entry {number} was removed; its hash is {logged.leaf.hex()}")
    return logged


def read_entries(place: Place, *, newest: int | None = None, number: int | None = None) -> Iterator[Logged]:
    """All in order; or the `newest` so many, newest first; or one. Raises NotFound for what is no log.

    An entry that is damaged hides no others: it says so, and the program's log how many there are.
    """
    where, order = "", "ORDER BY number"
    if number is not None:
        where = f"WHERE number = {number}"
    if newest is not None:
        order = f"ORDER BY number DESC LIMIT {newest}"
    with opened(place) as connection:
        dictionaries, bad = read_dictionaries(connection), 0
        for at, leaf, packing, body in connection.stream(
            f"SELECT number, leaf, packing, body FROM entry {where} {order}"
        ):
            entry, damage = None, "" if isinstance(leaf, bytes) else "its hash is none"
            if body is not None:
                try:
                    _, entry = read_entry(leaf, packing, body, dictionaries)
                except Damaged as error:
                    damage = error.message
            bad += bool(damage)
            stored = len(body) if isinstance(body, bytes) else None
            yield Logged(at, leaf if isinstance(leaf, bytes) else b"", entry, stored, damage)
    if bad and number is None:
        log.error("%s entries of %s are damaged and are left out; `triroute audit verify` says more", bad, place)
