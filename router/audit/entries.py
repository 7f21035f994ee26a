"""Entries of all kinds, for those who look at a log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from triroute.proto import audit_pb2
from triroute.router.audit.body import unpack
from triroute.router.audit.schema import LOG_SINCE, open_to_read, version_of
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


def find_number(path: Path, wanted: str) -> int | None:
    """The entry that a short decimal number names; None where it is an id. Raises NotFound where there is neither."""
    if not wanted.isdecimal() or len(wanted) > _LONGEST_NUMBER:
        return None
    there = next(read_entries(path, number=int(wanted)), None) is not None
    if not there and len(wanted) < SHORTEST_PREFIX:
        raise NotFound(f"there is no entry {wanted} in {path}; `triroute audit list` shows the newest")
    return int(wanted) if there else None


def read_entries(path: Path, *, newest: int | None = None, number: int | None = None) -> Iterator[Logged]:
    """All in order; or the `newest` so many, newest first; or one. Raises NotFound for a file that is no log."""
    if not path.exists():
        raise NotFound(f"there is no {path}; name the log's file with --records")
    where, order, limit = "", "", -1
    if number is not None:
        where = f"WHERE number = {number}"
    if newest is not None:
        order, limit = "DESC", newest
    try:
        with closing(open_to_read(path)) as connection:
            if version_of(connection) < LOG_SINCE:
                raise NotFound(f"{path} is from before there was a log; a service that writes to it makes one")
            dictionaries = read_dictionaries(connection)
            select = f"SELECT number, leaf, packing, body FROM entry {where} ORDER BY number {order} LIMIT {limit}"
            for place, leaf, packing, body in connection.execute(select):
                entry = None
                if body is not None:
                    entry = audit_pb2.AuditEntry.FromString(unpack(packing, body, dictionaries))
                yield Logged(place, leaf, entry, None if body is None else len(body))
    except (sqlite3.DatabaseError, ValueError) as error:
        raise NotFound(f"{path} can't be read as a log: {error}; `triroute audit verify` says more") from error
