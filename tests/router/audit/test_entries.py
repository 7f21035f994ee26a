"""Entries that can't be read: they hide no others, and nothing that was altered is shown as if it were the log's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit.body import FIRST_DICTIONARY, pack, read_entry, unpack, whole
from triroute.router.audit.entries import one_entry, read_entries
from triroute.router.audit.export import to_json_lines
from triroute.router.audit.merkle import leaf_hash
from triroute.router.audit.place import Place
from triroute.router.audit.proof import prove
from triroute.router.audit.stats import read_records
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.cli.app import app
from triroute.router.errors import Damaged, NotFound

from .logs import KEPT, look, tamper, write

NUMBERS = tuple(range(0x100000, 0x100004))
HIT, ID = 2, f"{NUMBERS[1]:032x}"  # the entry that is altered


@pytest.fixture
def log(place: Place) -> Place:
    write(place, *NUMBERS)
    return place


def alter(place: Place, change: Callable[[audit_pb2.AuditEntry], object], with_its_hash: bool = False) -> None:
    packing, body = look(place, f"SELECT packing, body FROM entry WHERE number = {HIT}")
    (words,) = look(place, "SELECT body FROM dictionary")
    entry = audit_pb2.AuditEntry.FromString(unpack(packing, body, {FIRST_DICTIONARY: words}))
    change(entry)
    canonical = entry.SerializeToString(deterministic=True)
    tamper(place, f"UPDATE entry SET packing = ?, body = ? WHERE number = {HIT}", values=pack(canonical))
    if with_its_hash:
        tamper(place, f"UPDATE entry SET leaf = ? WHERE number = {HIT}", values=(leaf_hash(canonical),))


def forge(entry: audit_pb2.AuditEntry) -> None:
    entry.record.features.tenant = "forged"


def is_told(place: Place, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By all that read entries."""
    store = RecordStore(place)
    entries = list(read_entries(place))
    assert [one.kind for one in entries] == ["service.started", "step", "damaged", "step", "step"]
    assert why in entries[HIT].damage
    assert f"1 entries of {place} are damaged" in caplog.text
    with pytest.raises(Damaged, match=f"entry {HIT} of .* is damaged: .*{why}"):
        one_entry(place, HIT)
    for wanted in (str(HIT), ID):
        with pytest.raises(Damaged, match=f"entry {HIT} of .* is damaged: .*{why}"):
            prove(place, wanted)
    with pytest.raises(Damaged, match=f"entry {HIT} of .* is damaged: .*{why}"):
        store.find(ID)
    assert len(store.latest(9)) == len(list(read_records(place))) == 3
    assert f"1 records of {place} are left out" in caplog.text
    newest = store.latest_in_brief(9)
    assert (len(newest.records), len(newest.damaged)) == (3, 1)
    to_json_lines(place, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert why in lines[HIT]["damage"]
    assert "record" in lines[HIT + 1]
    assert any(f"entry {HIT}: {entries[HIT].damage}" == str(problem) for problem in verify(place).problems)


def test_body_that_is_not_the_one_that_was_hashed(log: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alter(log, forge)
    is_told(log, "its body is not the one that was hashed", tmp_path, caplog)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE entry SET packing = NULL", "not stored as bytes"),
        ("UPDATE entry SET packing = 7", "dictionary 7 that it was packed with is gone"),
        ("UPDATE entry SET leaf = zeroblob(3)", "not the one that was hashed"),
        ("UPDATE entry SET body = zeroblob(9)", "checksum"),
        ("UPDATE entry SET body = zeroblob(0)", "checksum"),
    ],
)
def test_damaged_columns(
    log: Place, statement: str, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(log, f"{statement} WHERE number = {HIT}")
    is_told(log, why, tmp_path, caplog)


@pytest.mark.parametrize("statement", ["body = 'text'", "body = 5", "leaf = 'text'", "leaf = 5"])
def test_columns_of_another_type(tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite minds no types."""
    path = tmp_path / "r.sqlite"
    write(path, *NUMBERS)
    tamper(path, f"UPDATE entry SET {statement} WHERE number = {HIT}")
    is_told(path, "its body is ", tmp_path, caplog)


def test_passes_that_do_not_fit_together(log: Place, caplog: pytest.LogCaptureFixture) -> None:
    """As only a writer can leave them: the hash is that of the body."""

    def cut(entry: audit_pb2.AuditEntry) -> None:
        del entry.record.path.durations_us[-1:]

    alter(log, cut, with_its_hash=True)
    with pytest.raises(Damaged, match=f"the record {ID} in .* is damaged: its passes can't be put together"):
        RecordStore(log).find(ID)
    assert len(RecordStore(log).latest(9)) == len(list(read_records(log))) == 3
    assert f"entry {HIT} of {log} is left out" in caplog.text
    with pytest.raises(Damaged, match="do not lead to its checkpoint"):
        prove(log, str(HIT))


def test_moment_that_is_none(log: Place) -> None:
    def postpone(entry: audit_pb2.AuditEntry) -> None:
        entry.record.arrived_us = entry.record.decision.held.since_us = 2**62

    alter(log, postpone, with_its_hash=True)
    for command in (["audit", "list"], ["audit", "show", ID], ["trace", "--list"]):
        done = CliRunner().invoke(app, [*command, "--records", str(log)], env={"COLUMNS": "200"})
        assert (done.exit_code, "4611686018427387904 µs" in done.stdout) == (0, True), done.exception


def test_what_is_no_entry() -> None:
    for canonical, why in ((b"\xff" * 9, "no entry"), (b"", "neither a step nor an event")):
        with pytest.raises(Damaged, match=why):
            read_entry(leaf_hash(canonical), *pack(canonical), {})


def test_few_bytes_that_stand_for_many() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(129)) + packer.flush()
    with pytest.raises(ValueError, match="it takes more than 128 MiB"):
        unpack(1, zlib.crc32(packed).to_bytes(4, "big") + packed, {})


def test_columns_of_passes_of_any_length() -> None:
    with pytest.raises(Damaged):
        whole(router_pb2.Record(path={"kinds": b"\x01\x02", "widths": [1]}))


@pytest.mark.parametrize("table", ["log", "entry", "dictionary", "checkpoint", "kept"])
def test_tables_that_are_gone(tmp_path: Path, table: str) -> None:
    """Each command says what it can, or why it can't."""
    path = tmp_path / "r.sqlite"
    write(path, *NUMBERS)
    tamper(path, f"DROP TABLE {table}")
    for arguments in (["list"], ["show", "2"], ["show", ID], ["prove", "2"], ["prove", ID], ["stats"], ["verify"]):
        done = run(path, *arguments)
        assert done.exit_code in (0, 1), (arguments, done.exception)
        assert isinstance(done.exception, Damaged | NotFound | SystemExit | None), arguments


def run(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--records", str(log)])


def test_log_without_its_key(log: Place) -> None:
    tamper(log, "DELETE FROM log")
    with pytest.raises(Damaged, match="do not lead to its checkpoint"):
        prove(log, "2")


def test_what_is_kept_is_what_has_its_digest(log: Place) -> None:
    assert RecordStore(log).kept(KEPT) == b"user"
    packing, body = pack(b"other")
    tamper(log, "UPDATE kept SET packing = ?, body = ?", values=(packing, body))
    with pytest.raises(NotFound, match="is not what has this SHA-256"):
        RecordStore(log).kept(KEPT)
    assert RecordStore(log).vocabulary(KEPT) == {}
