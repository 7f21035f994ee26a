"""Entries of all kinds, for those who look at a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from triroute.proto import audit_pb2
from triroute.router.audit.body import unpack
from triroute.router.audit.database import Failures, opened
from triroute.router.audit.place import Place
from triroute.router.audit.store import SHORTEST_PREFIX, read_dictionaries
from triroute.router.errors import NotFound

_LONGEST_NUMBER = 9  # digits


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry in its place. `stored` is how many bytes its body takes; None for a body that was removed."""

    number: int
    leaf: bytes
    entry: audit_pb2.AuditEntry | None
    stored: int | None = None

    @property
    def kind(self) -> str:
        if self.entry is None:
            return "removed"
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


def read_entries(place: Place, *, newest: int | None = None, number: int | None = None) -> Iterator[Logged]:
    """All in order; or the `newest` so many, newest first; or one. Raises NotFound for what is no log."""
    where, order = "", "ORDER BY number"
    if number is not None:
        where = f"WHERE number = {number}"
    if newest is not None:
        order = f"ORDER BY number DESC LIMIT {newest}"
    try:
        with opened(place) as connection:
            dictionaries = read_dictionaries(connection)
            for at, leaf, packing, body in connection.stream(
                f"SELECT number, leaf, packing, body FROM entry {where} {order}"
            ):
                entry = None
                if body is not None:
                    entry = audit_pb2.AuditEntry.FromString(unpack(packing, body, dictionaries))
                yield Logged(at, leaf, entry, None if body is None else len(body))
    except (*Failures, ValueError) as error:
        raise NotFound(f"{place} can't be read as a log: {error}; `triroute audit verify` says more") from error
