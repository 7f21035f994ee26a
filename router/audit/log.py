"""The log's file, for its writer: entries are appended many at a time, with a signed checkpoint in one transaction."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from triroute.router.audit.begin import frontier_at, keep_lost, look_back, make, own, replace, row
from triroute.router.audit.body import FIRST_DICTIONARY, Entry, pack
from triroute.router.audit.checkpoint import Checkpoint
from triroute.router.audit.key import own_key, read_key
from triroute.router.audit.merkle import Frontier, leaf_hash
from triroute.router.audit.schema import LOG_SINCE, SEGMENT, beside, version_of

log = logging.getLogger("triroute.audit")

_MOST_DICTIONARIES = 64
_BUSY_SECONDS = 5


class Sink(Protocol):
    """Where entries go for good."""

    def append(self, entries: Sequence[Entry], kept: Mapping[str, bytes], durable: bool) -> None:
        """All or nothing; when it returns and was to be `durable`, they survive the machine. Raises OSError."""

    def close(self) -> None:
        """Let go of it."""


class AuditLog:
    """A log in a SQLite file. Several processes may write to one; each sees what the others appended."""

    def __init__(self, path: Path, key: Path | None = None) -> None:
        """`key` is the file of the signing key; beside the log where there is none given."""
        self.path = path
        self._key_path = key or beside(path, "key")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._frontier = Frontier()
        self._dictionaries: dict[str, tuple[int, bytes]] = {}

    def append(self, entries: Sequence[Entry], kept: Mapping[str, bytes], durable: bool) -> None:
        """As `Sink`. Raises OSError, and sqlite3.Error in no other way than as OSError."""
        try:
            self._append(entries, kept, durable)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise OSError(str(error)) from error
            raise

    def close(self) -> None:
        """Another append opens it again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own. What is removed in it leaves no trace in the file. Raises OSError."""
        try:
            connection = self._open()
            connection.execute("PRAGMA secure_delete = ON")
            with transaction(connection):
                yield connection
        except sqlite3.Error as error:
            self.close()
            raise OSError(str(error)) from error

    def compact(self) -> None:
        """Give room back to the machine, where nobody else is at work on the file."""
        with suppress(sqlite3.Error):
            self._open().execute("VACUUM")
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _append(self, entries: Sequence[Entry], kept: Mapping[str, bytes], durable: bool) -> None:
        connection = self._open()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        with transaction(connection):
            frontier = self._catch_up(connection)
            for sha256, body in kept.items():  # a vocabulary takes a while to pack: only where it is new
                if connection.execute("SELECT 1 FROM kept WHERE sha256 = ?", (sha256,)).fetchone() is None:
                    connection.execute("INSERT INTO kept VALUES (?, ?, ?)", (sha256, *pack(body)))
            rows = []
            for entry in entries:
                rows.append(row(frontier.size, entry, self._dictionary(connection, entry)))
                frontier.append(leaf_hash(entry.canonical))
            connection.executemany(
                "INSERT INTO entry (number, leaf, at_us, request_id, trace_id, packing, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            note = Checkpoint(self._verifier.name, frontier.size, frontier.root()).sign(self._key)
            connection.execute(
                "INSERT OR REPLACE INTO checkpoint (segment, size, note, peaks) VALUES (?, ?, ?, ?)",
                ((frontier.size - 1) // SEGMENT, frontier.size, note, b"".join(frontier.peaks)),
            )
        self._frontier = frontier
        try:
            replace(beside(self.path, "checkpoint"), note)
        except OSError as error:  # what was to be kept is kept
            log.error("the checkpoint beside %s can't be written: %s", self.path, error)

    def _catch_up(self, connection: sqlite3.Connection) -> Frontier:
        """The tree of all entries, those of other processes with it."""
        (size,) = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM entry").fetchone()
        if size < self._frontier.size:
            keep_lost(self.path, f"it had {self._frontier.size} entries, and has {size}")
        return self._frontier.copy() if size == self._frontier.size else frontier_at(connection, size)

    def _dictionary(self, connection: sqlite3.Connection, entry: Entry) -> tuple[int, bytes] | None:
        """What entries of its kind are packed with; the first one of a kind leaves it."""
        if entry.template is None:
            return None
        name, words = entry.template
        if name not in self._dictionaries:
            self._dictionaries[name] = _find_or_add(connection, name, words)
        return self._dictionaries[name]

    def _open(self) -> sqlite3.Connection:
        """The connection, while the file is still the one that it was opened on."""
        if self._connection is not None and self._file == _identity(self.path):
            return self._connection
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        self._file, self._frontier, self._dictionaries = _identity(self.path), Frontier(), {}
        with transaction(connection):
            version = version_of(connection)
            self._key = own_key(self._key_path) if version < LOG_SINCE else read_key(self._key_path)
            if version < LOG_SINCE:
                make(connection, version, self._key)
            self._verifier = own(connection, self.path, self._key, self._key_path)
            look_back(connection, self.path, self._verifier)
        return connection


def _find_or_add(connection: sqlite3.Connection, name: str, words: bytes) -> tuple[int, bytes]:
    """The dictionary of this name; the last one where there are too many."""
    select = "SELECT number, body FROM dictionary"
    found: tuple[int, bytes] | None = connection.execute(f"{select} WHERE name = ?", (name,)).fetchone()
    if found is not None:
        return found
    (count,) = connection.execute("SELECT count(*) FROM dictionary").fetchone()
    if count < _MOST_DICTIONARIES:
        values = (count + FIRST_DICTIONARY, name, words)
        connection.execute("INSERT INTO dictionary (number, name, body) VALUES (?, ?, ?)", values)
        return count + FIRST_DICTIONARY, words
    last: tuple[int, bytes] = connection.execute(f"{select} ORDER BY number DESC LIMIT 1").fetchone()
    return last


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A writer's, from its beginning on."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
