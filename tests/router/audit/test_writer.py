"""The writer's thread: what is durable, what is lost, and that the log tells of it."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from triroute.proto import audit_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.checkpoint import Verifier
from triroute.router.audit.entries import read_entries
from triroute.router.audit.key import own_key
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place
from triroute.router.audit.schema import beside
from triroute.router.audit.store import Kind, RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.errors import AuditUnavailable

from .logs import KEPT, look, record


class Slow:
    """A real log that waits before each append, and notes it."""

    def __init__(self, place: Place) -> None:
        self.log, self.may, self.appends = AuditLog(place), threading.Event(), list[int]()

    def append(self, entries: Sequence[Entry], kept: Mapping[str, bytes]) -> None:
        self.may.wait(20)
        self.log.append(entries, kept)
        self.appends.append(len(entries))

    def close(self) -> None:
        self.log.close()


def kinds(place: Place) -> list[str]:
    return [one.kind for one in read_entries(place)]


def test_durable_ones_share_a_transaction(place: Place) -> None:
    sink = Slow(place)
    writer = RecordWriter(sink.log.place, sink=sink)
    done = [writer.add_durably(record(number)) for number in range(30)]
    writer.add(record(99))
    sink.may.set()
    for one in done:
        one.result(20)
    writer.close()
    assert sum(sink.appends) == 31
    assert len(sink.appends) <= 3
    assert (writer.written, writer.lost, writer.broken) == (31, 0, "")


def test_gap_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "blocked" / "r.sqlite"
    path.parent.write_text("not a folder")
    writer = RecordWriter(path)
    for number in range(3):
        writer.add(record(number))
        writer.flush()
    durable = writer.add_durably(record(3))
    with pytest.raises(AuditUnavailable, match="requires an audit record of this step, and the log can't be written: "):
        durable.result(20)
    assert writer.lost == 4
    assert writer.broken
    path.parent.unlink()
    writer.add(record(4))
    writer.close()
    gap, step = read_entries(path)
    told = audit_pb2.AuditGap()
    assert gap.entry is not None
    gap.entry.event.detail.Unpack(told)
    assert (gap.kind, told.lost, step.kind, writer.broken) == ("log.gap", 4, "step", "")
    assert told.error
    assert verify(path).problems == []
    assert caplog.text.count("can't be written to") == 1


def test_broken_log_is_tried_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "blocked" / "r.sqlite"
    path.parent.write_text("not a folder")
    writer = RecordWriter(path)
    writer.add(record(1))
    writer.flush()
    path.parent.unlink()
    for _ in range(2_000):
        if not writer.broken:
            break
        threading.Event().wait(0.01)
    assert kinds(path) == ["log.gap"]
    writer.close()


def test_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it."""
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.add_durably(record(0)).result(20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        outcomes = [writer.add_durably(record(number, tokens=9_000)) for number in range(1, 9)]
        failures = [one.exception(20) for one in outcomes]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert isinstance(failures[-1], AuditUnavailable)
    writer.add_durably(record(100)).result(20)
    writer.close()
    there = {one.entry.record.request_id for one in read_entries(path) if one.entry and one.kind == "step"}
    acknowledged = {f"{number:032x}" for number, failed in enumerate([None, *failures]) if failed is None}
    assert there == acknowledged | {f"{100:032x}"}
    assert verify(path).problems == []


def test_queue_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triroute.router.audit.writer._MOST_QUEUED", 5)
    sink = Slow(tmp_path / "r.sqlite")
    writer = RecordWriter(sink.log.place, sink=sink)
    for number in range(20):
        writer.add(record(number))
    sink.may.set()
    writer.close()
    assert writer.written + writer.lost == 20
    assert writer.lost >= 9


def test_file_that_is_taken_away(tmp_path: Path) -> None:
    """A record that is required goes to the file that is there, not to one without a name."""
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.add_durably(record(0)).result(20)
    for one in tmp_path.glob("r.sqlite*"):
        if not one.name.endswith(("key", "checkpoint")):
            one.unlink()
    writer.add_durably(record(1)).result(20)
    writer.close()
    assert kinds(path) == ["step"]
    assert any(".checkpoint.lost-" in str(problem) for problem in verify(path).problems)


def test_file_that_is_moved_away(tmp_path: Path) -> None:
    """The log that takes its place has its own key, and all that its records refer to."""
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.keep(Kind.POLICY, KEPT, b"user")
    writer.add_durably(record(0)).result(20)
    was = beside(path, "pub").read_text()
    for one in ("", "-wal", "-shm"):
        path.with_name(f"r.sqlite{one}").rename(tmp_path / f"old{one}")
    writer.keep(Kind.POLICY, KEPT, b"user")
    writer.add_durably(record(1)).result(20)
    writer.close()
    assert RecordStore(path).kept(KEPT) == b"user"
    assert {str(problem).partition(".lost-")[0] for problem in verify(path).problems} == {
        str(beside(path, "checkpoint")),
        str(beside(path, "pub")),
    }
    (old,) = tmp_path.glob("r.sqlite.pub.lost-*")
    assert old.read_text() == was
    for evidence in tmp_path.glob("*.lost-*"):
        evidence.unlink()
    assert verify(path).problems == []
    assert verify(tmp_path / "old", Verifier.parse(was)).records == 1


@pytest.mark.parametrize("table", ["entry", "checkpoint", "dictionary", "kept"])
@pytest.mark.parametrize("what", ["BEFORE INSERT ON {} BEGIN SELECT RAISE(IGNORE); END"])
def test_trigger_that_drops_rows(tmp_path: Path, table: str, what: str) -> None:
    """A record that is required is not acknowledged without being there."""
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.append_event_durably("service.started", audit_pb2.ServiceStarted()).result(20)
    look(path, f"CREATE TRIGGER sqlitex {what.format(table)}")
    writer.keep(Kind.POLICY, KEPT, b"user")
    one = record(1)
    with pytest.raises(AuditUnavailable, match="it did not take"):
        writer.add_durably(one).result(20)
    assert any("schema sqlitex: it is not as" in str(problem) for problem in verify(path).problems)
    look(path, "DROP TRIGGER sqlitex")
    writer.add_durably(record(2)).result(20)
    writer.close()
    assert kinds(path) == ["service.started", "log.gap", "step"]
    assert verify(path).problems == []


def test_trigger_that_empties_rows(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.add_durably(record(0)).result(20)
    look(
        path,
        "CREATE TRIGGER quiet AFTER INSERT ON entry BEGIN UPDATE entry SET body = NULL WHERE number = NEW.number; END",
    )
    with pytest.raises(AuditUnavailable, match="it did not take the entries from 1 on"):
        writer.add_durably(record(1)).result(20)
    writer.close()


def test_file_is_for_its_owner_and_safe_from_a_loss_of_power(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    writer.add_durably(record(0)).result(20)
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.glob("r.sqlite*")}
    assert {modes[f"r.sqlite{ending}"] for ending in ("", "-wal", "-shm", ".key")} == {0o600}
    writer.close()
    with AuditLog(path).changing() as session:
        assert session.execute("PRAGMA synchronous").fetchone() == (2,)


def test_another_key_is_refused(place: Place, tmp_path: Path) -> None:
    writer = RecordWriter(place)
    writer.add_durably(record(0)).result(20)
    writer.close()
    own_key(tmp_path / "other")
    writer = RecordWriter(place, tmp_path / "other")
    with pytest.raises(AuditUnavailable, match="other is not the key that signs this log"):
        writer.add_durably(record(1)).result(20)
    writer.close()
    beside(place, "key").rename(tmp_path / "away")
    writer = RecordWriter(place)
    with pytest.raises(AuditUnavailable, match="the key that signs this log, is gone; bring it back"):
        writer.add_durably(record(1)).result(20)
    writer.close()
    assert not beside(place, "key").exists()


def test_bug_in_an_entry_does_not_end_the_thread(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    writer = RecordWriter(place)
    writer.add(None)  # type: ignore[arg-type]
    writer.flush()
    writer.add_durably(record(1)).result(20)
    writer.close()
    assert "by a bug of ours" in caplog.text
    assert kinds(place) == ["log.gap", "step"]
