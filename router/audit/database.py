"""What a log asks of the database that holds it. All that SQLite and PostgreSQL do in two ways is behind this."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from triroute.router.audit.place import Place, PostgresUrl
from triroute.router.audit.schema import LOG_SINCE
from triroute.router.errors import NotFound, TrirouteError


class DatabaseFailed(Exception):
    """It refused, or did not answer, or did not do what it was told."""


class Unreachable(DatabaseFailed):
    """There is no connection to be had, or no answer: nothing is known of the log."""


class ConnectionLost(Unreachable):
    """A connection that had worked is gone; another one may work."""


class PostgresMissing(TrirouteError):
    """The optional package that speaks to PostgreSQL is not installed."""

    reason = "POSTGRES_MISSING"


Failures = (sqlite3.Error, DatabaseFailed)  # of any database


class Cursor(Protocol):
    """The rows of a statement, as the DB-API has them."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Session(Protocol):
    """A connection. Values stand for `?` in statements, which are SQL of both dialects. Raises `Failures`."""

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Cursor:
        """One statement; all its rows may be fetched at once."""

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> object:
        """One statement for each row of values."""

    def stream(self, sql: str, values: Sequence[object] = (), /) -> Iterator[Any]:
        """The rows of a query that are too many for memory. For a session that reads."""

    def version(self) -> int:
        """Of the log's tables, 0 where there are none. Raises one of `Failures` for those of a newer Triroute."""

    def make_tables(self, version: int) -> tuple[list[Any], list[Any]]:
        """In place of those of an earlier version, whose records and kept texts are returned."""

    def transaction(self) -> AbstractContextManager[None]:
        """A writer's: there is one at a time. At its end what it did is on the disk.

        The checkpoint beside a log must not tell of entries that a loss of power undoes.
        """

    def is_current(self) -> bool:
        """Whether it writes to what now stands in its place."""

    def remove(self) -> None:
        """What is deleted from now on shall leave as little trace as can be; statements may take long."""

    def compact(self) -> bool:
        """Overwrite what was removed and give its room back, as far as others at work let it; whether all is gone."""

    def damage(self) -> Iterator[tuple[str, str]]:
        """Where the database itself is damaged, or its tables are not as `make_tables` makes them, and how."""

    def close(self) -> None:
        """Never raises."""


class Database(Protocol):
    """Opens sessions on one log."""

    def exists(self) -> bool:
        """Whether there may be something to read; nothing is made by looking."""

    def read(self) -> Session:
        """Sees one state of the log until it is closed, and changes nothing."""

    def write(self) -> Session:
        """Makes the place where there is none."""


def put(session: Session, sql: str, values: Sequence[object]) -> None:
    """Insert one row. Raises `Failures`, also where a trigger or a rule keeps the row from its table."""
    if session.execute(sql, values).rowcount != 1:
        raise DatabaseFailed(f"it did not take what was written to it ({sql.split(' (')[0]})")


def database(place: Place) -> Database:
    """The database for a place. Raises PostgresMissing, and StartFailed for a URL with options that there are not."""
    if isinstance(place, Path):
        from triroute.router.audit.sqlite_file import SqliteFile

        return SqliteFile(place)
    if not isinstance(place, PostgresUrl):
        raise TypeError(f"{place!r} is no place of a log")
    try:
        from triroute.router.audit.postgres import Postgres
    except ImportError as error:
        raise PostgresMissing(f"{place} is reached by psycopg: pip install 'triroute[postgres]' ({error})") from error
    return Postgres(place)


class NoLog(NotFound):
    """There is none, as far as the database says."""


@contextmanager
def opened(place: Place) -> Iterator[Session]:
    """A log to read. Raises NotFound where there is none, or it can't be read as one."""
    try:
        with opened_raw(place) as session:
            yield session
    except Failures as error:
        raise NotFound(f"{place} can't be read as a log: {error}; `triroute audit verify` says more") from error


@contextmanager
def opened_raw(place: Place) -> Iterator[Session]:
    """As `opened`. Raises NoLog where there is none, NotFound where it can't be reached, and `Failures`."""
    found = database(place)
    if not found.exists():
        raise NoLog(f"there is no {place}; name the log's file with --records")
    try:
        with closing(found.read()) as session:
            version = session.version()
            if version < LOG_SINCE:
                raise NoLog(
                    f"{place} has version {version}, from before there was a log; a service that writes to it makes one"
                    if version
                    else f"there is no log in {place} yet; a service that writes to it makes one"
                )
            yield session
    except Unreachable as error:
        raise NotFound(f"{place} can't be reached: {error}") from error
