"""Reads records: by id, or the newest, of a log as `log` writes it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from triroute.proto import router_pb2
from triroute.router.audit import body
from triroute.router.audit.database import Failures, Session, Unreachable, database
from triroute.router.audit.place import Place
from triroute.router.audit.schema import KEEPS_SINCE, LOG_SINCE
from triroute.router.errors import Damaged, NotFound
from triroute.router.segments import step_of_call

log = logging.getLogger("triroute.audit")

SHORTEST_PREFIX = 6
_NAMED = 5  # of the records that an ambiguous id could mean
_IS_RECORD = "request_id IS NOT NULL"
_ID = "request_id >= ? AND request_id < ? OR trace_id >= ? AND trace_id < ?"
_LAST = "\U0010ffff"  # comes after every character of an id

T = TypeVar("T")


class Kind(StrEnum):
    """What is kept beside the records, once."""

    POLICY = "policy"
    ENGINE = "engine"
    VOCABULARY = "vocabulary"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest records, the newest first, and why others among them can't be read."""

    records: list[router_pb2.Record]
    damaged: tuple[Damaged, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as an entry has it, or why it can't be read."""

    number: int  # of the entry
    request_id: str
    record: router_pb2.Record | Damaged


class RecordStore:
    """Finds records."""

    def __init__(self, place: Place) -> None:
        """Raises PostgresMissing, StartFailed."""
        self.place = place
        self._database = database(place)
        self.vocabulary = cache(self._read_vocabulary)  # by its SHA-256, the text of each token

    def find(self, wanted: str) -> router_pb2.Record:
        """By request id, trace id, a unique prefix of one, or the id of a tool call. Raises NotFound, Damaged."""
        wanted = step_of_call(wanted)
        if len(wanted) < SHORTEST_PREFIX or not wanted.isalnum():
            raise NotFound(f"{wanted!r} is no id; give at least {SHORTEST_PREFIX} of its characters")
        found = self._read(_ID, (*(wanted, wanted + _LAST) * 2, _NAMED + 1))
        if not found:
            raise NotFound(f"no record {wanted} in {self.place}; `triroute trace --list` shows the latest")
        if len(found) > 1:
            names = ", ".join(str(one.request_id) for one in found[:_NAMED])
            more = " and more" if len(found) > _NAMED else ""
            raise NotFound(f"{wanted} means several records; give one of the request ids {names}{more}")
        (only,) = found
        if isinstance(only.record, Damaged):
            raise only.record
        return self.whole(only.record)

    def latest(self, count: int) -> list[router_pb2.Record]:
        """The newest records, newest first; the log says how many are damaged and left out.

        Raises NotFound for a file that is no store.
        """
        newest = self.latest_in_brief(count)
        found, damaged = list[router_pb2.Record](), list(newest.damaged)
        for record in newest.records:
            try:
                found.append(self.whole(record))
            except Damaged as error:
                damaged.append(error)
        if damaged:
            log.error("%s records of %s are left out; the first: %s", len(damaged), self.place, damaged[0])
        return found

    def latest_in_brief(self, count: int) -> Newest:
        """As `latest`, without passes and the text of tokens: those take most of the time."""
        found = [one.record for one in self.before(None, count)]
        return Newest(
            [record for record in found if not isinstance(record, Damaged)],
            tuple(record for record in found if isinstance(record, Damaged)),
        )

    def before(self, number: int | None, count: int) -> list[Stored]:
        """Up to so many records, newest first and in brief, from before an entry; from the newest on for None.

        Raises NotFound for a file that is no store.
        """
        if number is None:
            return self._read(_IS_RECORD, (count,))
        return self._read(f"{_IS_RECORD} AND number < ?", (number, count))

    def whole(self, record: router_pb2.Record) -> router_pb2.Record:
        """A record as it was, of one as an entry has it. Raises Damaged."""
        try:
            return body.whole(record, self.vocabulary(record.vocabulary_sha256))
        except Damaged as error:
            raise Damaged(f"the record {record.request_id} in {self.place} is damaged: {error}") from error

    def kept(self, sha256: str) -> bytes | None:
        """What was kept under this digest."""
        return self.read(lambda connection: read_kept(connection, sha256), None)

    def read(self, what: Callable[[Session], T], nothing: T) -> T:
        """From the log; `nothing` where there is none yet. Raises NotFound where it can't be read."""
        if not self._database.exists():
            return nothing
        try:
            with closing(self._database.read()) as connection:
                return what(connection) if connection.version() else nothing  # 0: being made at this moment
        except Unreachable as error:
            raise NotFound(f"{self.place} can't be reached: {error}") from error
        except (*Failures, ValueError) as error:
            raise NotFound(f"{self.place} can't be read as a record store: {error}") from error

    def _read(self, where: str, values: tuple[str | int, ...]) -> list[Stored]:
        """Newest first."""
        return self.read(lambda connection: list(_select(connection, where, values, self.place)), [])

    def _read_vocabulary(self, sha256: str) -> dict[int, str]:
        try:
            return body.vocabulary(self.kept(sha256)) if sha256 else {}
        except NotFound as error:  # the records are there all the same
            log.warning("the text of tokens is missing: %s", error)
            return {}


def read_kept(connection: Session, sha256: str) -> bytes | None:
    """What was kept under this digest. Raises ValueError and `Failures`."""
    version = connection.version()
    if version < KEEPS_SINCE:
        return None
    columns = "packing, body" if version >= LOG_SINCE else "body"
    found = connection.execute(f"SELECT {columns} FROM kept WHERE sha256 = ?", (sha256,)).fetchone()
    if found is None or version < LOG_SINCE:
        return found[0] if found else None
    plain = body.unpack(found[0], found[1], {})
    if hashlib.sha256(plain).hexdigest() != sha256:
        raise ValueError(f"what it keeps as {sha256} is not what has this SHA-256")
    return plain


def read_dictionaries(connection: Session) -> dict[int, bytes]:
    """What bodies were packed with."""
    return dict(connection.execute("SELECT number, body FROM dictionary"))


def _select(connection: Session, where: str, values: tuple[str | int, ...], place: Place) -> Iterator[Stored]:
    is_log = connection.version() >= LOG_SINCE
    table, more, present = ("entry", "leaf, packing, ", "AND body IS NOT NULL") if is_log else ("record", "", "")
    dictionaries = read_dictionaries(connection) if is_log else {}
    for number, request_id, *stored in connection.execute(
        f"SELECT number, request_id, {more}body FROM {table} WHERE ({where}) {present} ORDER BY number DESC LIMIT ?",
        values,
    ):
        try:
            yield Stored(number, request_id, _record(stored, dictionaries))
        except (Damaged, DecodeError) as error:
            why = f"entry {number} of {place} is damaged: {error}; `triroute audit verify` says more"
            yield Stored(number, request_id, Damaged(why))


def _record(stored: list[Any], dictionaries: dict[int, bytes]) -> router_pb2.Record:
    """`stored`: the columns of an entry of a log, or of a record of an earlier version. Raises Damaged, DecodeError."""
    if len(stored) == 1:
        return router_pb2.Record.FromString(stored[0])
    leaf, packing, raw = stored
    _, entry = body.read_entry(leaf, packing, raw, dictionaries)
    if not entry.HasField("record"):
        raise Damaged("it is found as a step, and its body is an event")
    return entry.record
