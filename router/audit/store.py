"""Reads records: by id, or the newest, of a log as `log` writes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from functools import cache
from typing import TypeVar

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit import body
from triroute.router.audit.database import Failures, Session, Unreachable, database
from triroute.router.audit.place import Place
from triroute.router.audit.schema import KEEPS_SINCE, LOG_SINCE
from triroute.router.errors import NotFound
from triroute.router.segments import step_of_call

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


class RecordStore:
    """Finds records."""

    def __init__(self, place: Place) -> None:
        """Raises PostgresMissing, StartFailed."""
        self.place = place
        self._database = database(place)
        self.vocabulary = cache(self._read_vocabulary)  # by its SHA-256, the text of each token

    def find(self, wanted: str) -> router_pb2.Record:
        """By request id, trace id, a unique prefix of one, or the id of a tool call. Raises NotFound."""
        wanted = step_of_call(wanted)
        if len(wanted) < SHORTEST_PREFIX or not wanted.isalnum():
            raise NotFound(f"{wanted!r} is no id; give at least {SHORTEST_PREFIX} of its characters")
        found = self._records(_ID, (*(wanted, wanted + _LAST) * 2, _NAMED + 1))
        if not found:
            raise NotFound(f"no record {wanted} in {self.place}; `triroute trace --list` shows the latest")
        if len(found) > 1:
            names = ", ".join(record.request_id for record in found[:_NAMED])
            more = " and more" if len(found) > _NAMED else ""
            raise NotFound(f"{wanted} means several records; give one of the request ids {names}{more}")
        return found[0]

    def latest(self, count: int) -> list[router_pb2.Record]:
        """The newest records, newest first. Raises NotFound for a file that is no store."""
        return self._records(_IS_RECORD, (count,))

    def latest_in_brief(self, count: int) -> list[router_pb2.Record]:
        """As `latest`, without passes and the text of tokens: those take most of the time."""
        nothing: list[router_pb2.Record] = []
        return self.read(lambda connection: _select(connection, _IS_RECORD, (count,)), nothing)

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

    def _records(self, where: str, values: tuple[str | int, ...]) -> list[router_pb2.Record]:
        nothing: list[router_pb2.Record] = []
        found = self.read(lambda connection: _select(connection, where, values), nothing)
        return [body.whole(record, self.vocabulary(record.vocabulary_sha256)) for record in found]

    def _read_vocabulary(self, sha256: str) -> dict[int, str]:
        return body.vocabulary(self.kept(sha256)) if sha256 else {}


def read_kept(connection: Session, sha256: str) -> bytes | None:
    """What was kept under this digest. Raises ValueError and `Failures`."""
    version = connection.version()
    if version < KEEPS_SINCE:
        return None
    columns = "packing, body" if version >= LOG_SINCE else "body"
    found = connection.execute(f"SELECT {columns} FROM kept WHERE sha256 = ?", (sha256,)).fetchone()
    if found is None or version < LOG_SINCE:
        return found[0] if found else None
    return body.unpack(found[0], found[1], {})


def read_dictionaries(connection: Session) -> dict[int, bytes]:
    """What bodies were packed with."""
    return dict(connection.execute("SELECT number, body FROM dictionary"))


def _select(connection: Session, where: str, values: tuple[str | int, ...]) -> list[router_pb2.Record]:
    """Newest first."""
    if connection.version() < LOG_SINCE:
        rows = connection.execute(f"SELECT body FROM record WHERE {where} ORDER BY number DESC LIMIT ?", values)
        return [router_pb2.Record.FromString(stored) for (stored,) in rows]
    dictionaries = read_dictionaries(connection)
    rows = connection.execute(
        f"SELECT packing, body FROM entry WHERE ({where}) AND body IS NOT NULL ORDER BY number DESC LIMIT ?", values
    )
    return [audit_pb2.AuditEntry.FromString(body.unpack(row[0], row[1], dictionaries)).record for row in rows]
