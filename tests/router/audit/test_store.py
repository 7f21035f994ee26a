"""The record store on real files."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from triroute.proto import engine_pb2, router_pb2
from triroute.proto.decoding_pb2 import PassRecord
from triroute.router.audit.place import Place
from triroute.router.audit.store import Kind, RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.errors import NotFound

from .logs import look


def record(request_id: str, trace_id: str = "f" * 32) -> router_pb2.Record:
    return router_pb2.Record(request_id=request_id, decision=router_pb2.Decision(trace_id=trace_id), arrived_us=1)


def write(place: Place, *records: router_pb2.Record) -> None:
    writer = RecordWriter(place)
    for one in records:
        writer.add(one)
    writer.close()


def test_found_by_request_trace_and_prefix(place: Place) -> None:
    mine = record("abcdef" + "0" * 26, "1234567" + "0" * 25)
    write(place, mine, record("abcdee" + "0" * 26))
    store = RecordStore(place)
    for wanted in (mine.request_id, mine.decision.trace_id, "abcdef", "1234567"):
        assert store.find(wanted) == mine
    assert [found.request_id[:6] for found in store.latest(5)] == ["abcdee", "abcdef"]


def test_ambiguous_ids_name_the_requests(place: Place) -> None:
    write(place, *(record(f"{number}" * 32) for number in range(8)))
    with pytest.raises(NotFound, match=f"several records; give one of the request ids {'7' * 32}, .* and more"):
        RecordStore(place).find("f" * 32)


@pytest.mark.parametrize("wanted", ["", "abcde", "abcdef*", "abcdef' OR 1", "abcdef"])
def test_what_is_not_found(place: Place, wanted: str) -> None:
    with pytest.raises(NotFound):
        RecordStore(place).find(wanted)
    write(place, record("0" * 32), record("abcdee" + "0" * 26), record("abcdeg" + "0" * 26))
    with pytest.raises(NotFound):
        RecordStore(place).find(wanted)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        RecordStore(tmp_path / "none.sqlite").find("abcdef")
    assert not (tmp_path / "none.sqlite").exists()


def test_any_file_name(tmp_path: Path) -> None:
    path = tmp_path / "50% a?b#c" / "r.sqlite"
    write(path, record("0" * 32))
    assert len(RecordStore(path).latest(9)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["50% a?b#c"]


def test_append_only(place: Place) -> None:
    write(place, record("0" * 32))
    write(place, record("1" * 32))
    for statement in (
        "DELETE FROM entry",
        "UPDATE entry SET body = ''",
        "UPDATE entry SET leaf = ''",
        "INSERT INTO entry (number, leaf) VALUES (7, '')",
    ):
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="append-only"):
            look(place, statement)


def test_file_is_in_wal_mode(tmp_path: Path) -> None:
    write(tmp_path / "r.sqlite", record("0" * 32))
    assert look(tmp_path / "r.sqlite", "PRAGMA journal_mode") == ("wal",)
    assert look(tmp_path / "r.sqlite", "PRAGMA user_version") == (3,)


def test_newer_file_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    write(path, record("0" * 32))
    assert "schema version is 9, this Triroute knows 3; upgrade it" in caplog.text
    with pytest.raises(NotFound, match="schema version is 9"):
        RecordStore(path).latest(1)


def test_outage_is_logged_once_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "blocked" / "r.sqlite"
    path.parent.write_text("not a folder")
    writer = RecordWriter(path)
    for number in range(3):
        writer.add(record(f"{number}" * 32))
        writer.flush()
    assert len(caplog.records) == 1
    path.parent.unlink()
    writer.add(record("3" * 32))
    writer.close()
    assert "written again" in caplog.records[-1].message
    assert [found.request_id for found in RecordStore(path).latest(9)] == ["3" * 32]


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(NotFound, match=r"r\.sqlite can't be read as a record store"):
        RecordStore(path).latest(1)


POLICY = hashlib.sha256(b"policy").hexdigest()


def test_kept_once_and_for_good(place: Place) -> None:
    engine = hashlib.sha256(b"engine").hexdigest()
    for _ in range(2):
        writer = RecordWriter(place)
        for _ in range(3):
            writer.keep(Kind.POLICY, POLICY, b"policy")
            writer.keep(Kind.ENGINE, engine, b"engine")
            writer.add(record(uuid.uuid4().hex))
        writer.close()
    store = RecordStore(place)
    assert (store.kept(POLICY), store.kept(engine), store.kept("c" * 64)) == (b"policy", b"engine", None)
    assert look(place, "SELECT count(*) FROM kept") == (2,)
    for statement in ("DELETE FROM kept", "UPDATE kept SET body = ''"):
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="append-only"):
            look(place, statement)


def test_what_is_kept_survives_an_outage(tmp_path: Path) -> None:
    path = tmp_path / "blocked" / "r.sqlite"
    path.parent.write_text("not a folder")
    writer = RecordWriter(path)
    writer.keep(Kind.POLICY, POLICY, b"policy")
    writer.add(record("0" * 32))
    writer.flush()
    path.parent.unlink()
    writer.keep(Kind.POLICY, POLICY, b"policy")
    writer.add(record("1" * 32))
    writer.close()
    assert RecordStore(path).kept(POLICY) == b"policy"


OLD = {
    1: "CREATE TABLE record (number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT, trace_id TEXT,"
    " arrived_us INTEGER, body BLOB)",
    2: "CREATE TABLE kept (sha256 TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID",
}


@pytest.mark.parametrize("version", [1, 2])
def test_file_from_before_there_was_a_log(tmp_path: Path, version: int) -> None:
    """It can be read; the next writer makes a log of it."""
    path, old = tmp_path / "r.sqlite", [record(f"{number}" * 32) for number in range(3)]
    old[1].token_text[7] = "sea"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(1, version + 1):
            connection.execute(OLD[number])
        if version == 2:
            connection.execute("INSERT INTO kept VALUES (?, 'policy', ?)", (POLICY, b"policy"))
        for one in old:
            values = (one.request_id, one.decision.trace_id, one.arrived_us, one.SerializeToString())
            connection.execute("INSERT INTO record VALUES (NULL, ?, ?, ?, ?)", values)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    kept = b"policy" if version == 2 else None
    store = RecordStore(path)
    assert (store.latest(9), store.kept(POLICY)) == (old[::-1], kept)
    with pytest.raises(NotFound, match=f"has version {version}, from before there was a log"):
        verify(path)
    write(path, record("3" * 32))
    assert (store.latest(9), store.kept(POLICY)) == ([record("3" * 32), *old[::-1]], kept)
    report = verify(path)
    assert (report.records, report.events) == (4, 1)
    assert report.problems == []


def test_text_of_tokens_is_kept_once(place: Place) -> None:
    words = engine_pb2.TokenTextResponse(text=[f"<{number}>" for number in range(9)]).SerializeToString()
    digest = hashlib.sha256(words).hexdigest()
    one = record("0" * 32)
    one.token_ids.extend([1, 2])
    one.vocabulary_sha256 = digest
    one.passes.add(kind=PassRecord.KIND_VERIFY, committed_ids=[1, 2], rejected_ids=[5], duration_us=3)
    writer = RecordWriter(place)
    writer.keep(Kind.VOCABULARY, digest, words)
    writer.add(one)
    writer.close()
    (found,) = RecordStore(place).latest(1)
    assert dict(found.token_text) == {1: "<1>", 2: "<2>", 5: "<5>"}
    assert list(found.passes) == list(one.passes)
    assert not found.HasField("path")
    assert verify(place).ok


def test_two_writers_of_one_log(place: Place) -> None:
    writers = [RecordWriter(place), RecordWriter(place)]
    for number in range(40):
        writers[number % 2].add(record(f"{number:032d}"))
        if number % 5 == 0:
            writers[number % 2].flush()
    for one in writers:
        one.close()
    assert len(RecordStore(place).latest(99)) == 40
    assert verify(place).problems == []
