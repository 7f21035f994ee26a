"""The record store: one SQLite file, append-only, written off the request's path.

Beside the records it keeps what many of them refer to, once, under its SHA-256: policies and engines' descriptions.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from enum import StrEnum
from pathlib import Path

from triroute.proto import router_pb2
from triroute.router.errors import NotFound
from triroute.router.segments import step_of_call

log = logging.getLogger("triroute.records")

_VERSION = 2  # of the schema, in the file's user_version; 0 is a new file
_KEEPS = 2  # since this version there is the table `kept`
_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL,
    arrived_us INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS record_trace ON record (trace_id);
CREATE TABLE IF NOT EXISTS kept (sha256 TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS record_stays BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS record_kept BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS kept_stays BEFORE UPDATE ON kept BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS kept_kept BEFORE DELETE ON kept BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
_SHORTEST_PREFIX = 6
_NAMED = 5  # of the records that an ambiguous id could mean
_BATCH = 256


class Kind(StrEnum):
    """What is kept beside the records."""

    POLICY = "policy"
    ENGINE = "engine"


class RecordStore:
    """Finds records; adds them when it was opened as a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, wanted: str) -> router_pb2.Record:
        """By request id, trace id, a unique prefix of one, or the id of a tool call. Raises NotFound."""
        wanted = step_of_call(wanted)
        if len(wanted) < _SHORTEST_PREFIX or not wanted.isalnum():
            raise NotFound(f"{wanted!r} is no id; give at least {_SHORTEST_PREFIX} of its characters")
        found = self._query(
            "SELECT body FROM record WHERE request_id GLOB ?1 OR trace_id GLOB ?1 ORDER BY number DESC LIMIT ?2",
            (f"{wanted}*", _NAMED + 1),
        )
        if not found:
            raise NotFound(f"no record {wanted} in {self.path}; `triroute trace --list` shows the latest")
        if len(found) > 1:
            names = ", ".join(record.request_id for record in found[:_NAMED])
            more = " and more" if len(found) > _NAMED else ""
            raise NotFound(f"{wanted} means several records; give one of the request ids {names}{more}")
        return found[0]

    def latest(self, count: int) -> list[router_pb2.Record]:
        """The newest records, newest first. Raises NotFound for a file that is no store."""
        return self._query("SELECT body FROM record ORDER BY number DESC LIMIT ?", (count,))

    def kept(self, sha256: str) -> bytes | None:
        """What was kept under this digest."""
        found = self._rows("SELECT body FROM kept WHERE sha256 = ?", (sha256,))
        return found[0] if found else None

    def _query(self, statement: str, values: tuple[str | int, ...]) -> list[router_pb2.Record]:
        return [router_pb2.Record.FromString(body) for body in self._rows(statement, values)]

    def _rows(self, statement: str, values: tuple[str | int, ...]) -> list[bytes]:
        if not self.path.exists():
            return []
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            version = _check_version(connection)
            if version == 0 or (version < _KEEPS and " kept " in statement):  # being made at this moment, or old
                return []
            return [body for (body,) in connection.execute(statement, values)]
        except sqlite3.DatabaseError as error:
            raise NotFound(f"{self.path} can't be read as a record store: {error}") from error
        finally:
            connection.close()


class RecordWriter:
    """Writes records on its own thread, many in one transaction. An outage is logged once, and fails no request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue: queue.Queue[router_pb2.Record | None] = queue.Queue()
        self._known: set[str] = set()
        self._owed: dict[str, tuple[Kind, bytes]] = {}  # not written yet
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="triroute-records", daemon=True)
        self._thread.start()

    def add(self, record: router_pb2.Record) -> None:
        """Queue a record."""
        self._queue.put(record)

    def keep(self, kind: Kind, sha256: str, body: bytes) -> None:
        """Write something that records refer to by its SHA-256, once: with the next record."""
        if sha256 not in self._known:
            self._known.add(sha256)
            self._owed[sha256] = (kind, body)

    def flush(self) -> None:
        """Wait until everything queued is written or given up."""
        self._queue.join()

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            self._write([record for record in batch if record is not None])
            for _ in batch:
                self._queue.task_done()
            if None in batch:
                return

    def _write(self, records: list[router_pb2.Record]) -> None:
        try:
            self._insert(records)
            if self._broken:
                log.warning("records are written again to %s", self.path)
            self._broken = False
        except (OSError, sqlite3.Error) as error:
            if not self._broken:
                log.error("records can't be written to %s: %s; requests go on without", self.path, error)
            self._broken = True

    def _insert(self, records: list[router_pb2.Record]) -> None:
        if not records:
            return
        owed = dict(self._owed)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=5)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            if _check_version(connection) < _VERSION:
                connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
            with connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO kept (sha256, kind, body) VALUES (?, ?, ?)",
                    [(sha256, kind.value, body) for sha256, (kind, body) in owed.items()],
                )
                connection.executemany(
                    "INSERT INTO record (request_id, trace_id, arrived_us, body) VALUES (?, ?, ?, ?)",
                    [(r.request_id, r.decision.trace_id, r.arrived_us, r.SerializeToString()) for r in records],
                )
        finally:
            connection.close()
        for sha256 in owed:
            del self._owed[sha256]


def _check_version(connection: sqlite3.Connection) -> int:
    """The file's schema version, 0 for a new file. Raises DatabaseError for one that a newer Triroute wrote."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise sqlite3.DatabaseError(f"its schema version is {version}, this Triroute knows {_VERSION}; upgrade it")
    return int(version)
