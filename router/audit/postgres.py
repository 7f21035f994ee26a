"""A log in a schema of a PostgreSQL database.

Writers take turns by an advisory lock of their transaction: no lock outlives a connection that hangs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from triroute.router.audit.database import ConnectionLost, Cursor, DatabaseFailed, Unreachable
from triroute.router.audit.place import PostgresUrl
from triroute.router.audit.postgres_catalog import CATALOG, EXPECTED
from triroute.router.audit.postgres_schema import SCHEMA
from triroute.router.audit.schema import VERSION
from triroute.router.errors import StartFailed

log = logging.getLogger("triroute.audit")

_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 5.0  # that a server has for an answer
_TURN_SECONDS = 4  # that a writer waits for others
_SLOW_SECONDS = 1.0  # for a server that refuses
_LONG_SECONDS = 3_600.0  # for one that removes a lot
_ROWS = 1000  # read at once

P = ParamSpec("P")
T = TypeVar("T")


class _Connection(psycopg.Connection[Any]):
    """Waits only so long for an answer, also from a server that is frozen: libpq itself would wait for ever."""

    most_seconds = _ANSWER_SECONDS

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """As the driver's. Raises TimeoutError; what the connection is up to then is unknown."""
        return super().wait(_bounded(gen, self.most_seconds), *args, **options)


class Postgres:
    """As `Database`."""

    def __init__(self, place: PostgresUrl) -> None:
        """Raises StartFailed."""
        self.place = place
        try:
            self._given = conninfo_to_dict(place.url)
        except psycopg.Error as error:
            raise StartFailed(f"{place} is no URL of PostgreSQL: {place.clean(str(error))}") from None
        self._rest_until, self._why = 0.0, ""

    def exists(self) -> bool:
        """As `Database`: only the server knows."""
        return True

    def read(self) -> PostgresSession:
        """As `Database`."""
        return self._open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def write(self) -> PostgresSession:
        """As `Database`."""
        session = self._open(
            f"SET lock_timeout = '{_TURN_SECONDS}s'",
            "SET idle_in_transaction_session_timeout = '10s'",  # the server ends what we were cut off from
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') <> 'remote_apply'",
        )
        if session.execute("SHOW fsync").fetchone() != ("on",):
            log.warning("%s runs with fsync = off: a crash of its machine may undo what it has committed", self.place)
        return session

    def _open(self, *statements: str) -> PostgresSession:
        """A server that lets us wait is left alone for as long: whoever queues up here must not wait one by one."""
        began = time.monotonic()
        if began < self._rest_until:
            raise Unreachable(self._why)
        settings: dict[str, str | int] = {
            "fallback_application_name": "triroute",
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 10,
            "tcp_user_timeout": int(_ANSWER_SECONDS * 1000),
        }
        try:
            unset = {name: value for name, value in settings.items() if name not in self._given}
            connection = _Connection.connect(make_conninfo(self.place.url, **unset), autocommit=True)
        except psycopg.Error as error:
            ended, self._why = time.monotonic(), self.place.clean(str(error))
            self._rest_until = ended + ended - began if ended - began > _SLOW_SECONDS else 0.0
            raise Unreachable(self._why) from None  # its traceback may show the password
        session = PostgresSession(connection, self.place)
        try:
            for statement in (f"SET search_path = {self.place.schema}", *statements):
                session.execute(statement)
        except DatabaseFailed as error:
            session.close()
            raise Unreachable(str(error)) from error
        return session


class PostgresSession:
    """As `Session`."""

    def __init__(self, connection: _Connection, place: PostgresUrl) -> None:
        self._connection = connection
        self._place = place
        self._streams = count()

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Cursor:
        """As `Session`."""
        cursor = self._connection.cursor(binary=True)
        return self._told(cursor.execute, _percent(sql), values or None)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> None:
        """As `Session`."""
        self._told(self._connection.cursor().executemany, _percent(sql), rows)

    def stream(self, sql: str, values: Sequence[object] = (), /) -> Iterator[Any]:
        """As `Session`."""
        cursor = self._connection.cursor(f"stream{next(self._streams)}", binary=True)
        try:
            self._told(cursor.execute, _percent(sql), values or None)
            while rows := self._told(cursor.fetchmany, _ROWS):
                yield from rows
        finally:
            with suppress(psycopg.Error, TimeoutError):
                cursor.close()

    def version(self) -> int:
        """As `Session`."""
        if self.execute("SELECT to_regclass(?)", (f"{self._place.schema}.log",)).fetchone() == (None,):
            return 0
        (version,) = self.execute("SELECT version FROM log").fetchone() or (VERSION,)
        if version > VERSION:
            raise DatabaseFailed(f"its schema version is {version}, this Triroute knows {VERSION}; upgrade it")
        return int(version)

    def make_tables(self, version: int) -> tuple[list[Any], list[Any]]:
        """As `Session`: there is no earlier version."""
        if self.execute("SELECT to_regnamespace(?)", (self._place.schema,)).fetchone() == (None,):
            self.execute(f"CREATE SCHEMA {self._place.schema}")
        for statement in SCHEMA:
            self.execute(statement)
        return [], []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As `Session`."""
        self.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"triroute {self._place.schema}",))
            yield
        except BaseException:
            with suppress(DatabaseFailed):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def is_current(self) -> bool:
        """As `Session`: the server keeps a name for as long as it is in use."""
        return True

    def remove(self) -> None:
        """As `Session`. Dead rows go with `compact`; the server's own log and backups are not ours."""
        self._connection.most_seconds = _LONG_SECONDS

    def compact(self) -> bool:
        """As `Session`. The server does not say what it had to leave to those who read."""
        self._connection.most_seconds = _LONG_SECONDS
        self.execute("VACUUM entry, dictionary")
        return True

    def damage(self) -> Iterator[tuple[str, str]]:
        """As `Session`. The server itself says when it finds a damaged page."""
        there = dict(self.execute(CATALOG, (self._place.schema, self._place.schema)).fetchall())
        for name in sorted(EXPECTED.keys() | there.keys()):
            if EXPECTED.get(name) != there.get(name):
                yield f"schema {name}", "it is not as this version of Triroute makes it"

    def close(self) -> None:
        """As `Session`."""
        with suppress(psycopg.Error):
            self._connection.close()

    def _told(self, what: Callable[P, T], *values: P.args, **more: P.kwargs) -> T:
        """A call of the driver. Raises DatabaseFailed; the connection is given up where it does not answer."""
        try:
            return what(*values, **more)
        except TimeoutError as error:
            self._connection.close()
            raise Unreachable(str(error)) from error
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.LockNotAvailable):
                raise DatabaseFailed(f"another writer has held the log for {_TURN_SECONDS} s") from None
            message = self._place.clean(error.diag.message_primary or str(error)) or type(error).__name__
            raise (ConnectionLost if self._connection.closed else DatabaseFailed)(message) from None


def _percent(sql: str) -> str:
    """With the driver's sign for a value."""
    return sql.replace("?", "%s")


def _bounded(gen: PQGen[T], seconds: float) -> PQGen[T]:
    """The driver looks up several times a second while it waits."""
    end = time.monotonic() + seconds
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() > end:
                raise TimeoutError(f"the server did not answer for {seconds:g} s")
            state = gen.send(ready)
    except StopIteration as done:
        value: T = done.value
        return value
