"""Logs altered in every way, by somebody who has the file but not the key; and some by somebody who has both."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triroute.proto import audit_pb2
from triroute.router.audit import body
from triroute.router.audit.body import FIRST_DICTIONARY, pack, unpack, words_left_by
from triroute.router.audit.checkpoint import Verifier, parse_checkpoint
from triroute.router.audit.dictionaries import words_left_earlier_by
from triroute.router.audit.entries import read_entries
from triroute.router.audit.events import ENGINE
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place, PostgresUrl
from triroute.router.audit.prune import prune
from triroute.router.audit.report import Report
from triroute.router.audit.schema import SEGMENT, beside
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.errors import NotFound

from .logs import KEPT, look, look_all, record, snapshot, tamper, wipe, write

BARE = "body = NULL, packing = NULL, at_us = NULL, request_id = NULL, trace_id = NULL"
NUMBERS = tuple(range(0x100000, 0x100007))


@pytest.fixture
def log(place: Place) -> Place:
    write(place, *NUMBERS)
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "r.sqlite", *NUMBERS)
    return tmp_path / "r.sqlite"


def problems(place: Place, **options: Any) -> list[str]:
    return [str(problem) for problem in verify(place, **options).problems]


def test_a_log_is_what_it_was(log: Place) -> None:
    report = verify(log)
    assert report.problems == []
    assert (report.entries, report.records, report.events, report.unsigned) == (8, 7, 1, 0)
    assert len(report.checkpoints) == 2


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE entry SET body = zeroblob(1) || substr(body, 2) WHERE number = 3", "entry 3: its body "),
        ("UPDATE entry SET body = NULL WHERE number = 3", "entry 3: its body is gone, and what it was found by is not"),
        (f"UPDATE entry SET {BARE} WHERE number = 3", "entry 3: the body is gone, and the log does not tell of"),
        (f"UPDATE entry SET {BARE} WHERE number > 3", "entries 4 to 7: the body is gone, and the log does not tell"),
        ("UPDATE entry SET leaf = zeroblob(32) WHERE number = 3", "entry 3: its body is not the one that was hashed"),
        ("UPDATE entry SET request_id = 'x' WHERE number = 3", "entry 3: it is to be found by"),
        ("UPDATE entry SET at_us = at_us + 1 WHERE number = 3", "entry 3: it is to be found by"),
        ("UPDATE entry SET trace_id = NULL WHERE number = 3", "entry 3: it is to be found by"),
        ("UPDATE entry SET packing = 9 WHERE number = 3", "entry 3: its body is damaged: the dictionary 9"),
        ("DELETE FROM entry WHERE number = 3", "entry 3: it is missing: after it, entry 4 follows"),
        ("DELETE FROM entry WHERE number = 7", "checkpoint 0: it tells of 8 entries, and the log has 7"),
        ("UPDATE entry SET number = 9 WHERE number = 7", "entry 7: it is missing"),
        ("UPDATE dictionary SET body = zeroblob(length(body))", "entry 1: its body"),
        ("UPDATE kept SET body = zeroblob(1)", "kept 04f8996da763"),
        ("UPDATE checkpoint SET size = 7", "checkpoint 0: its columns say 7 entries in segment 0, its note 8"),
        ("UPDATE checkpoint SET peaks = zeroblob(32)", "checkpoint 0: its subtrees are not those of its root"),
        ("DELETE FROM checkpoint", "the log has no signed checkpoint"),
        ("UPDATE log SET key = replace(key, 'A', 'B')", "public key: "),
        ("DELETE FROM log", "public key: "),
        ("DROP TABLE kept", "schema kept: it is not as"),
        ("CREATE INDEX quiet ON entry (at_us)", "quiet: it is not as"),
        ("CREATE INDEX sqlitei ON entry (at_us)", "sqlitei: it is not as"),
        ("UPDATE dictionary SET name = name || 'x'", "entry 1: it was not written with the packing 2"),
        ("UPDATE dictionary SET name = name || 'x'", "dictionary 2: there is no entry that it can be for"),
        ("INSERT INTO dictionary VALUES (3, 'x', '')", "dictionary 3: there is no entry that it can be for"),
        ("UPDATE dictionary SET name = 'evil/' || name", "dictionary 2: there is no entry that it can be for"),
        ("INSERT INTO dictionary SELECT 3, 'evil/' || name, body FROM dictionary", "dictionary 3: there is no entry"),
        ("INSERT INTO dictionary SELECT 3, '2/' || name, '' FROM dictionary", "dictionary 3: it is not the one that"),
        ("UPDATE dictionary SET number = 3", "entry 1: its body is damaged: the dictionary 2"),
        ("UPDATE entry SET packing = NULL WHERE number = 3", "entry 3: its body is damaged"),
        ("UPDATE checkpoint SET note = note || '\n'", "checkpoint 0: it is not signed by the key"),
        ("UPDATE log SET key = key || ' '", "public key: the log writes it as"),
        ("UPDATE log SET key = key || '\n'", "public key: the log writes it as"),
    ],
)
def test_what_was_altered_is_named(log: Place, statement: str, found: str) -> None:
    tamper(log, statement)
    assert any(found in problem for problem in problems(log)), problems(log)


def with_other_words(words: bytes) -> bytes:
    """A dictionary with a change where no entry of these tests refers to it."""
    changed = words.replace(b"system is a planner's", b"system was a planner's"[:21])
    assert changed != words
    return changed


def test_words_of_a_dictionary_that_no_entry_needs(log: Place) -> None:
    (words,) = look(log, "SELECT body FROM dictionary")
    tamper(log, "UPDATE dictionary SET body = ?", values=(with_other_words(words),))
    assert problems(log) == [f"dictionary 2: it is not the one that the first entry of {'a' * 64 + '/all/0'!r} left"]


def test_words_of_a_dictionary_whose_first_entry_was_pruned(place: Place) -> None:
    """The entry that tells of the removal tells of the dictionary, too."""
    writer = RecordWriter(place)
    for number in range(SEGMENT + 2):
        one = record(number)
        one.model = "first" if number == 0 else "other"
        writer.add(one)
    writer.close()
    prune(place, None, keep=0)
    assert problems(place) == []
    (words,) = look(place, "SELECT body FROM dictionary")
    assert b"first" in words
    tamper(place, "UPDATE dictionary SET body = ?", values=(with_other_words(words),))
    assert [one.partition(": it is not")[0] for one in problems(place)] == ["dictionary 2"]


def test_dictionaries_as_earlier_versions_made_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(body, "words_left_by", words_left_earlier_by)
        write(place, *NUMBERS)
    (words,) = look(place, "SELECT body FROM dictionary")
    assert words != words_left_by(record(NUMBERS[0]))
    assert problems(place) == []
    tamper(place, "UPDATE dictionary SET name = '2/' || name")
    assert problems(place) == []


def test_dictionaries_are_made_as_they_were() -> None:
    """Another way to make them is another function: logs that were written are compared with what this one makes."""
    made = words_left_by(record(5)), words_left_earlier_by(record(5))
    assert [hashlib.sha256(words).hexdigest()[:16] for words in made] == ["6e3d2ef2df1ab03d", "b8b7162386f18217"]


def test_inserted_and_moved_entries(log: Place) -> None:
    """With hashes that fit their bodies: only the tree tells."""
    swap = "UPDATE entry SET number = CASE number WHEN -2 THEN 4 ELSE -number END WHERE number "
    tamper(log, f"{swap} = 4", f"{swap} = 2", "UPDATE entry SET number = 2 WHERE number = -4", f"{swap} = -2")
    (first, second) = problems(log)
    assert first.startswith("checkpoint 0: its root is not that of the first 8 entries: one of the entries 0 to 7 was")
    assert f"{beside(log, 'checkpoint')}: its root" in second
    columns = "leaf, at_us, request_id, trace_id, packing, body"
    tamper(log, f"INSERT INTO entry SELECT 8, {columns} FROM entry WHERE number = 3")
    assert any("entries 8 to 8: no checkpoint covers them" in problem for problem in problems(log))


def test_rewound_to_an_earlier_copy(log: Place) -> None:
    restore = snapshot(log)
    write(log, 0x200000, 0x200001, begin=False)
    restore()
    (problem,) = problems(log)
    assert "it tells of 10 entries, and the log has 8: entries from 8 on were removed (the log was rewound)" in problem


def test_forked_by_a_writer_that_saw_an_earlier_copy(log: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Even with the key: the checkpoint of what was is not overwritten."""
    restore = snapshot(log)
    write(log, 0x200000, 0x200001, begin=False)
    restore()
    write(log, 0x300000, 0x300001, 0x300002, begin=False)
    assert "is not the one that it was" in caplog.text
    (problem,) = problems(log)
    assert ".checkpoint.lost-" in problem
    assert "a checkpoint of entries that this log does not have" in problem


def test_rewound_and_without_the_checkpoint_beside_it(log: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The next writer does not make it clean."""
    restore = snapshot(log)
    write(log, 0x200000, 0x200001, begin=False)
    restore()
    beside(log, "checkpoint").unlink()
    write(log, 0x300000, begin=False)
    assert "the last checkpoint beside it is gone" in caplog.text
    (problem,) = problems(log)
    assert ".checkpoint.lost-" in problem
    assert "a writer found the last checkpoint beside the log gone" in problem


@pytest.mark.parametrize("entries", [0, 3])
def test_a_log_that_no_checkpoint_was_written_for_yet(file: Path, tmp_path: Path, entries: int) -> None:
    """As after a crash before the first: of a new log, or of one made of the records of an earlier version."""
    new = tmp_path / "new.sqlite"
    log = AuditLog(new)
    with log.changing() as session:
        for row in look_all(file, f"SELECT * FROM entry WHERE number < {entries}"):
            session.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    log.close()
    beside(new, "checkpoint").unlink()
    AuditLog(new)._open().close()
    assert parse_checkpoint(beside(new, "checkpoint").read_text(), Verifier.parse(verify(new).key)).size == entries
    assert list(tmp_path.glob("new.sqlite.checkpoint.lost-*")) == []


def test_a_database_that_this_machine_has_nothing_of(postgres_place: Place) -> None:
    write(postgres_place, *NUMBERS)
    for what in ("checkpoint", "pub"):
        beside(postgres_place, what).unlink()
    write(postgres_place, 0x200000, begin=False)
    assert problems(postgres_place) == []


def test_rewritten_by_somebody_with_the_key(log: Place, tmp_path: Path) -> None:
    """Only a checkpoint that was kept elsewhere tells."""
    kept = tmp_path / "kept"
    shutil.copy(beside(log, "checkpoint"), kept)
    origin = verify(log).origin
    assert problems(log, checkpoint=kept) == []
    write(log, 0x200000, begin=False)
    assert problems(log, checkpoint=kept) == []
    wipe(log)
    for what in ("checkpoint", "pub"):
        beside(log, what).unlink()
    write(log, *NUMBERS[:-1], 0x300000)
    assert problems(log) == []
    (problem,) = problems(log, checkpoint=kept)
    assert f"{kept}: it is of another log, {origin}, and not of" in problem
    with pytest.raises(NotFound, match="nowhere can't be read"):
        verify(log, checkpoint=tmp_path / "nowhere")


def test_rewound_under_a_writer(log: Place, caplog: pytest.LogCaptureFixture) -> None:
    writer = RecordWriter(log)
    for number in (0x200000, 0x200001):
        writer.add_durably(record(number)).result(20)
    tamper(log, "DELETE FROM entry WHERE number > 6", "DELETE FROM checkpoint")
    writer.add_durably(record(0x200002)).result(20)
    writer.close()
    assert "it had 10 entries, and has 7" in caplog.text
    assert any(".checkpoint.lost-" in problem for problem in problems(log))


def test_signed_again_by_somebody_without_the_key(log: Place, tmp_path: Path) -> None:
    """Nothing beside the log tells, and the report says so."""
    honest = verify(log)
    kept = tmp_path / "kept"
    shutil.copy(beside(log, "checkpoint"), kept)
    key = Verifier.parse(honest.key)
    assert not honest.vouched or isinstance(log, PostgresUrl)
    sign_again(log, Ed25519PrivateKey.generate())
    forged = verify(log)
    assert (forged.problems, forged.key == honest.key) == ([], False)
    assert not forged.vouched or isinstance(log, PostgresUrl)
    assert "which is not the key that is trusted" in problems(log, key=key)[0]
    assert any(f"{kept}: it is not signed by the key" in problem for problem in problems(log, checkpoint=kept))


def sign_again(log: Place, key: Ed25519PrivateKey) -> None:
    was = Verifier.parse(look(log, "SELECT key FROM log")[0])
    checkpoint = parse_checkpoint(look(log, "SELECT note FROM checkpoint")[0], was)
    now, note = Verifier(was.name, key.public_key()), checkpoint.sign(key)
    tamper(log, "UPDATE log SET key = ?", values=(str(now),))
    tamper(log, "UPDATE checkpoint SET note = ?", values=(note,))
    beside(log, "pub").write_text(f"{now}\n")
    beside(log, "checkpoint").write_text(note)


def test_a_key_is_vouched_for_by_what_was_kept_elsewhere(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copy(beside(file, "checkpoint"), kept)
    assert not verify(file).vouched
    assert not verify(file, checkpoint=beside(file, "checkpoint")).vouched
    assert verify(file, checkpoint=kept).vouched
    assert verify(file, Verifier.parse(beside(file, "pub").read_text())).vouched


def test_public_key_that_is_gone(file: Path) -> None:
    public = beside(file, "pub")
    was = public.read_text()
    public.unlink()
    (problem,) = problems(file)
    assert problem.startswith(f"{public}: the public key beside the log is gone")
    assert problems(file, key=Verifier.parse(was)) == []
    for damaged in ("", "garbage"):
        public.write_text(damaged)
        assert problems(file) == [f"{public}: {damaged!r} is no public key of a log (NAME+ID+KEY)"]


def test_packed_otherwise(log: Place) -> None:
    """The bytes that were hashed are the same."""
    (packing, stored), (words,) = (
        look(log, f"SELECT {what}") for what in ("packing, body FROM entry WHERE number = 3", "body FROM dictionary")
    )
    again = pack(unpack(packing, stored, {FIRST_DICTIONARY: words}))
    tamper(log, "UPDATE entry SET packing = ?, body = ? WHERE number = 3", values=again)
    assert problems(log) == ["entry 3: it was not written with the packing 1"]


def test_checkpoints_of_segments_that_are_gone(place: Place) -> None:
    writer = RecordWriter(place)
    for number in range(2 * SEGMENT + 1):
        writer.add(record(number, tokens=1))
    writer.close()
    assert problems(place) == []
    tamper(place, "DELETE FROM checkpoint WHERE segment < 2")
    assert problems(place) == ["checkpoint 0: it is missing", "checkpoint 1: it is missing"]


def test_engine_that_only_an_event_names(place: Place) -> None:
    writer = RecordWriter(place)
    writer.append_event(ENGINE, audit_pb2.EngineStarted(engine_sha256=KEPT))
    writer.close()
    assert problems(place) == [f"kept {KEPT}: it is missing; entry 0 refers to it"]


@pytest.mark.parametrize("what", ["pub", "checkpoint"])
def test_folder_in_place_of_a_file(file: Path, what: str) -> None:
    beside(file, what).unlink()
    beside(file, what).mkdir()
    assert f"{beside(file, what)}: it can't be read: Is a directory" in problems(file)


def test_write_ahead_log_that_is_gone_or_damaged(tmp_path: Path) -> None:
    """As after a kill: all that was written is in it."""
    writer = RecordWriter(tmp_path / "live.sqlite")
    writer.add_durably(record(1)).result(20)
    writer.add_durably(record(2)).result(20)
    copy, wal = tmp_path / "r.sqlite", tmp_path / "r.sqlite-wal"
    whole = (tmp_path / "live.sqlite-wal").read_bytes()
    for damaged in (
        whole,
        whole[:3_000],
        whole[:-3_000],
        b"",
        bytes([*whole[:5_000], whole[5_000] ^ 1, *whole[5_001:]]),
    ):
        for what in ("", ".pub", ".checkpoint"):
            shutil.copy(tmp_path / f"live.sqlite{what}", tmp_path / f"r.sqlite{what}")
        wal.write_bytes(damaged)
        found = problems(copy)
        assert bool(found) == (damaged != whole)
        assert not found or "tells of 2 entries, " in " ".join(found)
        (tmp_path / "r.sqlite-shm").unlink(missing_ok=True)
    writer.close()


@pytest.mark.parametrize("version", [0, 2])
def test_wiped_log_is_not_one_that_never_was(file: Path, version: int) -> None:
    tamper(file, f"PRAGMA user_version = {version}")
    (problem,) = problems(file)
    assert "the log was removed, rewound or replaced: " in problem
    assert "checkpoint tells of 8 entries, but" in problem
    beside(file, "checkpoint").unlink()
    assert "pub is its key" in problems(file)[0]
    beside(file, "pub").unlink()
    with pytest.raises(NotFound):
        verify(file)


def test_file_that_is_gone_or_empty(file: Path) -> None:
    file.write_bytes(b"")
    assert "checkpoint tells of 8 entries, but there is no log in" in problems(file)[0]
    file.unlink()
    assert "checkpoint tells of 8 entries, but there is no" in problems(file)[0]


def test_values_of_any_type(file: Path) -> None:
    columns = {"log": ["key"], "dictionary": ["name", "body"], "kept": ["sha256", "packing", "body"]}
    columns |= {"checkpoint": ["note", "peaks", "size"], "entry": ["body", "leaf", "packing", "at_us", "request_id"]}
    restore = snapshot(file)
    for table, column in ((table, column) for table, names in columns.items() for column in names):
        for value in ("'text'", "x'00'", "5", "1e99", "''"):
            tamper(file, f"UPDATE {table} SET {column} = {value}")
            assert problems(file)
            restore()


def test_side_file_that_is_gone(log: Place) -> None:
    beside(log, "checkpoint").unlink()
    assert problems(log) == [f"{beside(log, 'checkpoint')}: the file with the last checkpoint is gone"]


def test_what_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        verify(tmp_path / "none")
    (tmp_path / "text").write_text("no database " * 100)
    assert "can't be read as a log" in problems(tmp_path / "text")[0]


SQLITES_OWN = {*range(24, 28), *range(40, 44), *range(92, 100)}  # counters, and the version that wrote last


def test_header_of_a_file(file: Path) -> None:
    raw = file.read_bytes()
    for at in range(100):
        file.write_bytes(bytes([*raw[:at], raw[at] ^ 4, *raw[at + 1 :]]))
        try:
            assert verify(file).ok == (at in SQLITES_OWN), at
        finally:
            file.write_bytes(raw)


@pytest.mark.parametrize("statement", ["PRAGMA application_id = 5", "PRAGMA user_version = 1"])
def test_header_in_the_write_ahead_log(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("SELECT count(*) FROM entry").fetchone()
        tamper(file, statement)
        assert problems(file)


def test_file_of_which_all_is_in_the_write_ahead_log(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "r.sqlite")
    writer.add_durably(record(1)).result(20)
    assert problems(tmp_path / "r.sqlite") == []
    writer.close()


def seen(path: Path) -> tuple[list[Any], list[Any]]:
    """All that a reader of the log sees."""
    store = RecordStore(path)
    found = [store.find(f"{number:032x}") for number in NUMBERS]
    return [(one.number, one.leaf, one.entry) for one in read_entries(path)], [
        *found,
        store.kept(KEPT),
    ]


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_flipped_bit_is_found_or_is_not_part_of_the_log(file: Path, data: st.DataObject) -> None:
    was, raw = file.read_bytes(), bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    before = seen(file)
    file.write_bytes(raw)
    try:
        report = verify(file)
        assert not report.ok or seen(file) == before
    finally:
        file.write_bytes(was)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_flipped_bit_of_an_entry_is_found(log: Place, data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(["leaf", "at_us", "request_id", "trace_id", "packing", "body"]))
    number = data.draw(st.integers(1, len(NUMBERS)))
    (was,) = look(log, f"SELECT {column} FROM entry WHERE number = {number}")
    if isinstance(was, int):
        value: int | bytes | str = was ^ 1 << data.draw(st.integers(0, 30))
    else:
        changed = bytearray(was if isinstance(was, bytes) else was.encode())
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 6))
        value = bytes(changed) if isinstance(was, bytes) else changed.decode()
    tamper(log, f"UPDATE entry SET {column} = ? WHERE number = {number}", values=(value,))
    try:
        assert any(f"entry {number}: " in problem for problem in problems(log))
    finally:
        tamper(log, f"UPDATE entry SET {column} = ? WHERE number = {number}", values=(was,))


def test_a_log_in_use(log: Place) -> None:
    """What is appended while it is read is no problem."""
    writer, ended = RecordWriter(log), threading.Event()

    def append() -> None:
        number = 0x200000
        while not ended.is_set():
            writer.add_durably(record(number)).result(20)
            number += 1

    appending = threading.Thread(target=append)
    appending.start()
    try:
        assert [problems(log) for _ in range(30)] == [[]] * 30
    finally:
        ended.set()
        appending.join()
        writer.close()


def test_tables_of_others_may_stand_beside(log: Place) -> None:
    tamper(log, "CREATE TABLE theirs (one TEXT)", "CREATE INDEX their ON theirs (one)")
    assert problems(log) == []


def test_report_tells_only_so_much() -> None:
    report = Report()
    for number in range(30):
        report.add(f"entry {number}", "x")
    assert (len(report.problems), report.more, report.ok) == (20, 10, False)


def test_records_come_back_whole(log: Place) -> None:
    assert RecordStore(log).latest(1) == [record(NUMBERS[-1])]
