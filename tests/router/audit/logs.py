"""Small logs for tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from triroute.proto import audit_pb2, decoding_pb2, router_pb2
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


def write(path: Path, *numbers: int, begin: bool = True) -> None:
    """Append records, after an event."""
    writer = RecordWriter(path)
    if begin:
        writer.append_event("service.started", audit_pb2.ServiceStarted(version="1", host="here"))
    writer.keep(Kind.POLICY, KEPT, b"user")
    for number in numbers:
        writer.add(record(number))
        writer.flush()
    writer.close()


def tamper(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    """As somebody with the file could, and without leaving other traces than these."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement, values)
        for _, sql in triggers:
            connection.execute(sql)
