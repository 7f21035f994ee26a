"""Servers for tests that ask for one, and the places that a log can have."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

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
    """A running server for all tests that harm only what is in their own schema."""
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
def postgres_server() -> Iterator[PostgresServer]:
    """A running server to be killed and frozen."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        yield server
        server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where a new log can be: what holds for one place must hold for the other."""
    if request.param == "sqlite":
        return tmp_path / "log" / "r.sqlite"
    monkeypatch.setenv("TRIROUTE_HOME", str(tmp_path))
    server: PostgresServer = request.getfixturevalue("shared_postgres")
    return to_place(server.url(f"log{next(_LOGS)}"))
