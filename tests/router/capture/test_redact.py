"""What is redacted is told, and what is told was redacted: by the log, each once."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from triroute.proto import audit_pb2
from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.prune import prune
from triroute.router.audit.schema import SEGMENT, beside
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.capture.content import Captured, ContentStore, content_file
from triroute.router.capture.redact import redact
from triroute.router.cli.audit import audit
from triroute.router.errors import AuditUnavailable, NotFound
from triroute.router.prompts import build

from ..audit.logs import record, tamper, write

FIRST, SECOND = (f"{number:032x}" for number in (0x100000, 0x100001))


@pytest.fixture
def log(place: Place) -> Place:
    write(place, 0x100000, 0x100001)
    capture(place, FIRST, SECOND)
    return place


def capture(place: Place, *request_ids: str) -> None:
    for one in request_ids:
        ContentStore(content_file(place)).put(one, Captured(build({"prompt": "a secret"}, "a step"), b"salt"))


def told(place: Place) -> list[audit_pb2.ContentRedacted]:
    found = []
    for logged in read_entries(place):
        detail = audit_pb2.ContentRedacted()
        if logged.entry is not None and logged.entry.event.detail.Unpack(detail):
            found.append(detail)
    return found


def run(place: Place, *arguments: str) -> Result:
    options = ["--reason", "asked", "--author", "me", "--records", str(place)]
    return CliRunner().invoke(audit, ["redact", *arguments, *options], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_each_once_and_no_other(log: Place) -> None:
    trace = f"{0x100000:x}".rjust(32, "f")
    done = run(log, FIRST, FIRST, trace, SECOND)
    assert done.stdout.splitlines() == [f"{FIRST}: removed", f"{SECOND}: removed"]
    (one,) = told(log)
    assert (list(one.request_ids), one.count, one.reason, one.author) == ([FIRST, SECOND], 2, "asked", "me")
    assert run(log, FIRST).stdout == f"{FIRST}: there was nothing (any more)\n"
    assert told(log) == [one]
    assert verify(log).problems == []


@pytest.mark.parametrize("there", [True, False], ids=["something", "nothing"])
def test_with_another_key_nothing_goes(log: Place, tmp_path: Path, there: bool) -> None:
    write(tmp_path / "other.sqlite", 1)
    wanted = FIRST if there else f"{0x100002:032x}"
    if not there:
        write(log, 0x100002, begin=False)
    done = run(log, wanted, "--audit-key", str(beside(tmp_path / "other.sqlite", "key")))
    assert isinstance(done.exception, AuditUnavailable)
    assert "nothing was removed" in str(done.exception)
    assert "is not the key that signs this log" in str(done.exception)
    assert ContentStore(content_file(log)).holds(FIRST)
    assert told(log) == []


def test_what_the_log_says_was_removed_is_removed_once_more(log: Place) -> None:
    """As after a crash between the log's entry and the removal."""
    redact(log, None, [FIRST], "asked", "me")
    capture(log, FIRST)
    assert redact(log, None, [FIRST], "asked", "me") == [FIRST]
    assert not ContentStore(content_file(log)).holds(FIRST)
    assert len(told(log)) == 2


def test_no_log(tmp_path: Path) -> None:
    capture(tmp_path / "r.sqlite", FIRST)
    with pytest.raises(NotFound, match="there is no"):
        redact(tmp_path / "r.sqlite", None, [FIRST], "asked", "me")
    assert [path.name for path in tmp_path.iterdir()] == ["r.sqlite.content"]


def test_of_a_record_that_is_gone(log: Place) -> None:
    tamper(
        log,
        f"UPDATE entry SET body = NULL, packing = NULL, at_us = NULL, request_id = NULL WHERE request_id = '{FIRST}'",
    )
    assert isinstance(run(log, "deadbeef").exception, NotFound)
    assert run(log, FIRST).stdout == f"{FIRST}: removed\n"
    assert not ContentStore(content_file(log)).holds(FIRST)


def test_content_goes_with_its_record(log: Place) -> None:
    writer = RecordWriter(log)
    for number in range(SEGMENT):
        writer.add(record(number))
    writer.close()
    late = f"{SEGMENT - 1:032x}"
    capture(log, late)
    prune(log, None, keep=3)
    contents = ContentStore(content_file(log))
    assert [contents.holds(one) for one in (FIRST, SECOND, late)] == [False, False, True]
    (one,) = told(log)
    assert (list(one.request_ids), one.count, one.reason) == ([], 2, "pruned with their records")
    assert verify(log).problems == []
