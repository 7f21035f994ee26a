"""A log in a SQLite file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from triroute.router.audit.schema import KEEPS_SINCE, SCHEMA, VERSION
from triroute.router.audit.sqlite_header import header_damage

_BUSY_SECONDS = 5
_SMALL_BYTES = 32 << 20  # that VACUUM copies while no writer waits for long
_READERS_SECONDS = 5.0  # that readers have to let go of what was removed
_TURN_MS, _PAUSE_SECONDS = 50, 0.2  # writers wait for us for so long, and then have so long for themselves
_ROWS = 1000  # read at once
# Others' tables may stand beside ours, with indexes. A name says nothing: only SQLite itself minds what it reserves.
_OBJECTS = """SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type NOT IN ('table', 'index')
OR sql IS NOT NULL AND lower(tbl_name) IN ('entry', 'checkpoint', 'kept', 'dictionary', 'log')"""


class SqliteFile:
    """As `Database`."""

    def __init__(self, path: Path) -> None:
        self.place = path

    def exists(self) -> bool:
        """As `Database`."""
        return self.place.exists()

    def read(self) -> SqliteSession:
        """As `Database`."""
        uri = f"{self.place.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.text_factory = lambda raw: raw.decode(errors="replace")  # it may be damaged
        connection.execute("BEGIN")
        return SqliteSession(connection, self.place)

    def write(self) -> SqliteSession:
        """As `Database`."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        _make(self.place)
        connection = sqlite3.connect(self.place, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Also of what moves from page to page, long before it is removed.
        connection.execute("PRAGMA secure_delete = ON")
        return SqliteSession(connection, self.place)


class SqliteSession:
    """As `Session`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._file = _identity(path)
        self.execute, self.executemany = connection.execute, connection.executemany

    def stream(self, sql: str, values: Sequence[Any] = (), /) -> Iterator[Any]:
        """As `Session`."""
        cursor = self._connection.execute(sql, values)
        while rows := cursor.fetchmany(_ROWS):
            yield from rows

    def version(self) -> int:
        """As `Session`."""
        (version,) = self.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.DatabaseError(f"its schema version is {version}, this Triroute knows {VERSION}; upgrade it")
        return int(version)

    def make_tables(self, version: int) -> tuple[list[Any], list[Any]]:
        """As `Session`."""
        old = [] if not version else self.execute("SELECT body FROM record ORDER BY number").fetchall()
        kept = [] if version < KEEPS_SINCE else self.execute("SELECT sha256, body FROM kept").fetchall()
        for table in ("record", "kept"):
            self.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _statements(SCHEMA):
            self.execute(statement)
        self.execute(f"PRAGMA user_version = {VERSION}")
        return [body for (body,) in old], kept

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As `Session`."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def is_current(self) -> bool:
        """As `Session`."""
        return self._file is not None and self._file == _identity(self._path)

    def remove(self) -> None:
        """As `Session`: a writer overwrites all that it deletes."""

    def compact(self) -> bool:
        """As `Session`. A large file keeps its size, and later entries use the room: VACUUM would lock writers out.

        What was removed is in the write-ahead log, and in the file below it, for as long as somebody reads.
        """
        pages, free, size = (
            self.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
        if free and (pages - free) * size <= _SMALL_BYTES:
            self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of it, while others may write
        end = time.monotonic() + _READERS_SECONDS
        self.execute(f"PRAGMA busy_timeout = {_TURN_MS}")
        try:
            while (blocked := self._truncate()) and time.monotonic() < end:
                time.sleep(_PAUSE_SECONDS)
        finally:
            self.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        return not blocked

    def _truncate(self) -> bool:
        """Empty the write-ahead log; whether others kept us from it."""
        (blocked, _, _) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(blocked)

    def damage(self) -> Iterator[tuple[str, str]]:
        """As `Session`."""
        for (found,) in self.execute("PRAGMA integrity_check(3)"):
            if found != "ok":
                yield str(self._path), f"the file is damaged: {found}"
        for found in header_damage(self._connection, self._path):
            yield str(self._path), found
        with closing(sqlite3.connect(":memory:")) as fresh:
            fresh.executescript(SCHEMA)
            expected = Counter(fresh.execute(_OBJECTS).fetchall())
        there = Counter(self.execute(_OBJECTS).fetchall())
        for name in sorted({str(name) for _, name, _, _ in (expected - there) + (there - expected)}):
            yield f"schema {name}", "it is not as this version of Triroute makes it"

    def close(self) -> None:
        """As `Session`."""
        with suppress(sqlite3.Error):
            self._connection.close()


def _make(path: Path) -> None:
    """An empty file for its owner alone, where there is none: records hold what was answered."""
    if path.exists():
        return
    own = path.with_name(f"{path.name}.{os.getpid()}")
    os.close(os.open(own, os.O_WRONLY | os.O_CREAT, 0o600))
    try:
        os.link(own, path)  # another process may have made one meanwhile: the first stays
    except FileExistsError:
        pass
    finally:
        own.unlink()


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
