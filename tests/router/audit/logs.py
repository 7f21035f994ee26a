"""Small logs for tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from triroute.proto import audit_pb2, decoding_pb2, router_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place, PostgresUrl
from triroute.router.audit.store import Kind
from triroute.router.audit.writer import RecordWriter

KEPT = "04f8996da763b7a969b1028ee3007569eaf3a635486ddab211d512c85b9df8fb"  # SHA-256 of "user"
_Pass = decoding_pb2.PassRecord


def record(number: int, tokens: int = 6) -> router_pb2.Record:
    """A step with a path."""
    output = [(number * 31 + place * 7) % 900 for place in range(tokens)]
    decision = router_pb2.Decision(
        request_id=f"{number:032x}", trace_id=f"{number:x}".rjust(32, "f"), rule_id="all", policy_revision="a" * 64
    )
    passes = [
        _Pass(index=place, kind=_Pass.KIND_DECODE, width=1, committed_ids=[token], start_us=place * 100, batch=1)
        for place, token in enumerate(output)
    ]
    return router_pb2.Record(
        request_id=decision.request_id, arrived_us=1_000 + number, decision=decision, token_ids=output, passes=passes
    )


def write(place: Place, *numbers: int, begin: bool = True) -> None:
    """Append records, after an event."""
    writer = RecordWriter(place)
    if begin:
        writer.append_event("service.started", audit_pb2.ServiceStarted(version="1", host="here"))
    writer.keep(Kind.POLICY, KEPT, b"user")
    for number in numbers:
        writer.add(record(number))
        writer.flush()
    writer.close()


def append(place: Place, records: Iterable[router_pb2.Record]) -> None:
    """Many records at once."""
    log = AuditLog(place)
    log.append([Entry.of_record(one) for one in records], {})
    log.close()


def tamper(place: Place, *statements: str, values: tuple[object, ...] = ()) -> None:
    """As somebody with the database could, and without leaving other traces than these."""
    if isinstance(place, PostgresUrl):
        with owner(place) as rows:
            rows.execute("SET session_replication_role = replica")  # no triggers
            for statement in statements:
                rows.execute(statement.replace("?", "%s"), values or None)
        return
    with closing(sqlite3.connect(str(place), isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement, values)
        for _, sql in triggers:
            with suppress(sqlite3.OperationalError):  # its table may be gone
                connection.execute(sql)


def owner(place: Place) -> psycopg.Connection[Any]:
    """A superuser's connection to the tables of a log, each statement for itself."""
    assert isinstance(place, PostgresUrl)
    options = f"-c search_path={place.schema},public"
    return psycopg.connect(place.url, options=options, autocommit=True)


def look(place: Place, query: str) -> Any:
    """The first row that it finds."""
    if isinstance(place, PostgresUrl):
        with owner(place) as rows:
            return rows.execute(query).fetchone()
    with closing(sqlite3.connect(str(place))) as connection:
        return connection.execute(query).fetchone()


def look_all(place: Path, query: str) -> list[Any]:
    """All rows that it finds in a file."""
    with closing(sqlite3.connect(str(place))) as connection:
        return connection.execute(query).fetchall()


def snapshot(place: Place) -> Callable[[], None]:
    """What puts an earlier copy of the database in its place."""
    if isinstance(place, PostgresUrl):
        tables = ("log", "entry", "dictionary", "checkpoint", "kept")
        with owner(place) as rows:
            copy = {table: rows.execute(f"SELECT * FROM {table}").fetchall() for table in tables}

        def restore() -> None:
            with owner(place) as rows:
                rows.execute("SET session_replication_role = replica")
                for table, found in copy.items():
                    rows.execute(f"DELETE FROM {table}")
                    for row in found:
                        rows.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", row)

        return restore
    path = Path(str(place))
    raw = path.read_bytes()
    return lambda: (path.write_bytes(raw), None)[1]


def wipe(place: Place) -> None:
    """The database as if there had never been a log."""
    if isinstance(place, PostgresUrl):
        with owner(place) as rows:
            rows.execute(f"DROP SCHEMA {place.schema} CASCADE")
    else:
        Path(str(place)).unlink()
