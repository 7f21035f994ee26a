"""Servers for tests that ask for one, and the places that a log can have."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest

from triroute.router.audit.place import Place, to_place

from .postgres_server import PostgresServer
from .redis_server import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A running server. Its folder's name is short: a Unix socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.close()


_LOGS = count()


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    """A running server for all tests, which write to schemas of their own."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        with server.connect("public") as connection:  # as SQLite has it
            connection.execute(
                "CREATE FUNCTION zeroblob(integer) RETURNS bytea LANGUAGE sql AS"
                " $$ SELECT decode(repeat('00', $1), 'hex') $$"
            )
        yield server
        server.close()


@pytest.fixture
def postgres_server(shared_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """To be killed, frozen and set otherwise; afterwards it is as it was."""
    yield shared_postgres
    shared_postgres.thaw()
    with suppress(psycopg.OperationalError), shared_postgres.connect() as rows:
        rows.execute("ALTER SYSTEM RESET ALL")
        rows.execute("SELECT pg_reload_conf()")
        return
    shared_postgres.close()
    shared_postgres.start()


@pytest.fixture
def postgres_place(shared_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where a new log can be in PostgreSQL; the files beside it are in `tmp_path`."""
    monkeypatch.setenv("TRIROUTE_HOME", str(tmp_path))
    return to_place(shared_postgres.url(f"log{next(_LOGS)}"))


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a new log can be: what holds for one place must hold for the other."""
    if request.param == "sqlite":
        return tmp_path / "log" / "r.sqlite"
    found: Place = request.getfixturevalue("postgres_place")
    return found
