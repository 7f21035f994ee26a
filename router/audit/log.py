"""The log's file, for its writer: entries are appended many at a time, with a signed checkpoint in one transaction."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit.body import FIRST_DICTIONARY, Entry, pack
from triroute.router.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, parse_checkpoint
from triroute.router.audit.events import event
from triroute.router.audit.key import own_key
from triroute.router.audit.merkle import Frontier, leaf_hash
from triroute.router.audit.schema import (
    KEEPS_SINCE,
    LOG_SINCE,
    SCHEMA,
    SEGMENT,
    VERSION,
    beside,
    split_peaks,
    version_of,
)

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
            frontier = _catch_up(connection, self._frontier)
            connection.executemany(
                "INSERT OR IGNORE INTO kept (sha256, packing, body) VALUES (?, ?, ?)",
                [(sha256, *pack(body)) for sha256, body in kept.items()],
            )
            rows = []
            for entry in entries:
                leaf = leaf_hash(entry.canonical)
                dictionary = self._dictionary(connection, entry)
                found = (entry.at_us, entry.request_id, entry.trace_id)
                rows.append((frontier.size, leaf, *found, *pack(entry.canonical, dictionary)))
                frontier.append(leaf)
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
            _replace(beside(self.path, "checkpoint"), note)
        except OSError as error:  # what was to be kept is kept
            log.error("the checkpoint beside %s can't be written: %s", self.path, error)

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
        self._key = own_key(self._key_path)
        self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._file, self._frontier, self._dictionaries = _identity(self.path), Frontier(), {}
        with transaction(self._connection):
            version = version_of(self._connection)
            if version < LOG_SINCE:
                self._make(self._connection, version)
            self._verifier = self._own(self._connection)
        self._look_back(self._connection)
        return self._connection

    def _make(self, connection: sqlite3.Connection, version: int) -> None:
        """A new log; the records of a file from before there were logs are its first entries."""
        old = [] if not version else connection.execute("SELECT body FROM record ORDER BY number").fetchall()
        kept = [] if version < KEEPS_SINCE else connection.execute("SELECT sha256, body FROM kept").fetchall()
        for table in ("record", "kept"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _statements(SCHEMA):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(name, *pack(body)) for name, body in kept])
        verifier = Verifier(f"triroute/{uuid.uuid4().hex[:16]}", self._key.public_key())
        connection.execute("INSERT INTO log (one, key) VALUES (1, ?)", (str(verifier),))
        if version:
            told = audit_pb2.AuditImported(records=len(old), version=version)
            entries = [Entry.of_event(event("log.imported", told))]
            entries += [Entry.of_record(router_pb2.Record.FromString(body)) for (body,) in old]
            _import(connection, entries)

    def _own(self, connection: sqlite3.Connection) -> Verifier:
        """The log's public key. Raises OSError where it is not the key's that we have."""
        (text,) = connection.execute("SELECT key FROM log").fetchone()
        try:
            verifier = Verifier.parse(text)
        except BadCheckpoint as error:
            raise OSError(f"the log is damaged: {error}") from error
        if verifier.raw != Verifier(verifier.name, self._key.public_key()).raw:
            raise OSError(
                f"{self._key_path} is not the key that signs this log; give the right one,"
                " or move the log away to begin another"
            )
        public = beside(self.path, "pub")
        if not public.exists():
            _replace(public, f"{verifier}\n")
        return verifier

    def _look_back(self, connection: sqlite3.Connection) -> None:
        """Keep a checkpoint that this log does not hold, as evidence: a writer goes on, and `verify` tells of it."""
        side = beside(self.path, "checkpoint")
        try:
            note = side.read_text(encoding="utf-8")
            with transaction(connection):
                found = parse_checkpoint(note, self._verifier)
                if found.root == frontier_at(connection, found.size).root():
                    return
        except FileNotFoundError:
            return
        except (BadCheckpoint, ValueError) as error:
            log.error("%s does not belong to the log beside it: %s", side, error)
        lost = beside(self.path, f"checkpoint.lost-{time.time_ns()}")
        os.replace(side, lost)
        log.error("the log %s is not the one that it was: %s shows what is missing", self.path, lost)


def frontier_at(connection: sqlite3.Connection, size: int) -> Frontier:
    """The tree of the first `size` entries. Raises ValueError where there are fewer."""
    found = connection.execute(
        "SELECT size, peaks FROM checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1", (size,)
    ).fetchone()
    frontier = Frontier(found[0], split_peaks(found[1])) if found else Frontier()
    rows = connection.execute(
        "SELECT leaf FROM entry WHERE number >= ? AND number < ? ORDER BY number", (frontier.size, size)
    )
    for (leaf,) in rows:
        frontier.append(leaf)
    if frontier.size != size:
        raise ValueError(f"it tells of {size} entries, and the log has {frontier.size}")
    return frontier


def _catch_up(connection: sqlite3.Connection, frontier: Frontier) -> Frontier:
    """The tree of all entries; `frontier` is one that this process knows already."""
    (last,) = connection.execute("SELECT max(number) FROM entry").fetchone()
    size = 0 if last is None else last + 1
    return frontier.copy() if frontier.size == size else frontier_at(connection, size)


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


def _import(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    for number, entry in enumerate(entries):
        connection.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, leaf_hash(entry.canonical), entry.at_us, entry.request_id, entry.trace_id, *pack(entry.canonical)),
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _statements(script: str) -> list[str]:
    """The statements of a script, which `executescript` would run in a transaction of its own."""
    found, statement = [], ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found


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


def _replace(path: Path, text: str) -> None:
    """Readers see the old text or the new one. The transaction is what is durable, not this."""
    own = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        own.write_text(text, encoding="utf-8")
        os.replace(own, path)
    except OSError:
        own.unlink(missing_ok=True)
        raise
