"""Retention: what was removed is gone from the file, and proofs hold."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triroute.proto import router_pb2
from triroute.router.audit import sqlite_file
from triroute.router.audit.body import DEFLATED, FIRST_DICTIONARY
from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.proof import prove
from triroute.router.audit.prune import prune
from triroute.router.audit.schema import SEGMENT
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.cli.audit import audit
from triroute.router.errors import NotFound

from .logs import look, record, tamper, write

COUNT = 2 * SEGMENT + 10


@pytest.fixture
def log(place: Place) -> Place:
    writer = RecordWriter(place)
    for number in range(COUNT):
        writer.add(record(number))
    writer.close()
    return place


def test_bodies_go_and_proofs_stay(log: Place) -> None:
    before, size = verify(log), log.stat().st_size if isinstance(log, Path) else 0
    told = prune(log, None, keep=SEGMENT)
    assert (told.before, told.bodies) == (SEGMENT, SEGMENT)
    report = verify(log)
    assert report.problems == []
    assert (report.pruned, report.records, report.events) == (SEGMENT, COUNT - SEGMENT, 1)
    assert len(report.checkpoints) == len(before.checkpoints)
    if isinstance(log, Path):
        assert record(5).request_id.encode() not in log.read_bytes()
        assert log.stat().st_size < size
    assert len(RecordStore(log).latest(9_999)) == COUNT - SEGMENT
    with pytest.raises(NotFound):
        RecordStore(log).find(f"{5:032x}")
    with pytest.raises(NotFound, match="the body of entry 5 was removed"):
        prove(log, "5")
    assert prove(log, str(SEGMENT))["index"] == SEGMENT
    last = list(read_entries(log))[-1]
    assert last.kind == "log.pruned"
    assert prune(log, None, keep=SEGMENT).bodies == 0
    write(log, 0x200000, begin=False)
    assert verify(log).problems == []


def test_by_age(log: Place) -> None:
    assert prune(log, None, before_us=1_000 + 2 * SEGMENT - 1).before == SEGMENT
    assert prune(log, None, before_us=1_000 + 2 * SEGMENT).before == 2 * SEGMENT
    assert verify(log).problems == []


def test_by_age_with_a_clock_that_jumped_ahead(place: Place) -> None:
    """What it wrote is as old as what came after it. The newest entry has nothing after it, and may be young."""
    writer, now = RecordWriter(place), time.time_ns() // 1000

    def add(number: int, at_us: int) -> None:
        one = record(number)
        one.arrived_us = at_us
        writer.add(one)

    year_2100, day = 4_102_444_800_000_000, 86_400_000_000
    for number in range(SEGMENT):
        add(number, year_2100 if number in (500, SEGMENT - 1) else number)
    writer.flush()
    assert prune(place, None, before_us=400).bodies == 0
    assert prune(place, None, before_us=now - day).bodies == 0
    add(SEGMENT, now)
    writer.flush()
    assert prune(place, None, before_us=now - day).bodies == 0
    for number in range(SEGMENT + 1, 2 * SEGMENT):
        add(number, now)
    add(2 * SEGMENT, now + 1)
    writer.close()
    assert prune(place, None, before_us=now + 1).before == 2 * SEGMENT
    assert verify(place).problems == []


def test_a_large_file_is_not_copied(tmp_path: Path) -> None:
    """That would lock its writers out. Its room is used again."""
    file = tmp_path / "r.sqlite"
    writer = RecordWriter(file)
    for number in range(COUNT):
        one = record(number)
        one.error = os.urandom(2_000).hex()
        writer.add(one)
    writer.close()
    tamper(file, f"INSERT INTO kept VALUES ('large', 0, zeroblob({40 << 20}))")
    size = file.stat().st_size
    prune(file, None, keep=0)
    assert file.stat().st_size >= size
    assert record(5).request_id.encode() not in file.read_bytes()
    (free,) = look(file, "PRAGMA freelist_count")
    write(file, *range(0x200000, 0x200040), begin=False)
    assert look(file, "PRAGMA freelist_count") < (free,)
    assert file.stat().st_size == size


def test_readers_keep_what_was_removed_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says so, and the next one overwrites it."""
    monkeypatch.setattr(sqlite_file, "_READERS_SECONDS", 0.3)
    file = tmp_path / "r.sqlite"
    writer = RecordWriter(file)
    for number in range(SEGMENT):
        writer.add(record(number))
    writer.flush()
    command = ["prune", "--keep", "0", "--records", str(file)]

    def left() -> bool:
        files = [path.read_bytes() for path in (file, file.with_name("r.sqlite-wal"))]
        return any(record(5).request_id.encode() in raw for raw in files)

    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        done = CliRunner().invoke(audit, command)
        assert (done.exit_code, left()) == (0, True)
        assert f"removed the bodies of {SEGMENT} entries" in done.output
        assert "not overwritten yet" in done.output
        writer.add_durably(record(0x200000)).result(20)
    assert left()
    done = CliRunner().invoke(audit, command)
    assert (done.exit_code, left()) == (0, False)
    assert "nothing to remove" in done.output
    assert "not overwritten" not in done.output
    writer.close()
    assert verify(file).problems == []


def test_hashes_of_what_was_removed_are_checked(log: Place) -> None:
    prune(log, None, keep=SEGMENT)
    tamper(log, "UPDATE entry SET leaf = zeroblob(32) WHERE number = 7")
    (first, *_) = verify(log).problems
    assert "one of the entries 0 to " in first.what


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        prune(tmp_path / "none", None, keep=0)


def test_dictionaries_say_nothing_of_a_caller(place: Place) -> None:
    one = record(0)
    decision = one.decision
    decision.evidence.append("stops at 'private'")
    decision.passed_over.add(rule_id="first", why="tenant is private, wanted any of others")
    decision.hints.add(hint="mode", why="private")
    features = one.features
    features.CopyFrom(router_pb2.Features(tenant="private", tags=["private"], tool_names=["private"]))
    features.evidence.append("private")
    one.session_id = one.error = "private"
    one.finish.unenforced.append("$.private")
    one.finish.check.problem = "private"
    one.finish.tool_calls.add(name="private", arguments_json='{"private": 1}')
    one.finish.escalations.add().check.problem = "private"
    one.calls.add(name="private", arguments_json='{"private": 1}')
    one.shadow.error = "private"
    writer = RecordWriter(place)
    writer.add(one)
    writer.close()
    (words,) = look(place, "SELECT body FROM dictionary")
    assert b"private" not in words
    assert one.request_id.encode() not in words
    assert b"first" in words


def test_dictionaries_go_with_what_needed_them(log: Place) -> None:
    other = record(0x300000)
    other.decision.rule_id = "other"
    writer = RecordWriter(log)  # goes on over what is removed under it
    writer.add(other)
    writer.flush()
    prune(log, None, keep=11)
    assert look(log, "SELECT count(*), max(number) FROM dictionary") == (2, FIRST_DICTIONARY + 1)
    for number in range(SEGMENT):
        again = record(0x300001 + number)
        again.decision.rule_id = "third"
        writer.add(again)
    writer.flush()
    prune(log, None, keep=0)
    assert look(log, "SELECT name FROM dictionary")[0].split("/")[1] == "third"
    writer.add(record(0x400000))
    again = record(0x400001)
    again.decision.rule_id = "other"
    writer.add(again)
    writer.close()
    assert look(log, "SELECT count(*) FROM dictionary") == (3,)
    assert verify(log).problems == []
    assert RecordStore(log).find(f"{0x400000:032x}").decision.rule_id == "all"


def test_too_many_dictionaries(place: Place) -> None:
    writer = RecordWriter(place)
    for number in range(70):
        one = record(number)
        one.decision.rule_id = f"rule-{number}"
        writer.add(one)
    writer.close()
    assert look(place, "SELECT count(*) FROM dictionary") == (64,)
    assert look(place, "SELECT max(packing) FROM entry WHERE number >= 64") == (DEFLATED,)
    assert len(RecordStore(place).latest(99)) == 70
    assert verify(place).problems == []
