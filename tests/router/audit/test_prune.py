"""Retention: what was removed is gone from the file, and proofs hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.proof import prove
from triroute.router.audit.prune import prune
from triroute.router.audit.schema import SEGMENT
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter
from triroute.router.errors import NotFound

from .logs import record, tamper, write

COUNT = 2 * SEGMENT + 10


@pytest.fixture
def log(place: Place) -> Place:
    writer = RecordWriter(place)
    for number in range(COUNT):
        one = record(number)
        one.error = f"secret{number:06d}"
        writer.add(one)
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
        assert b"secret000000" not in log.read_bytes()
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


def test_hashes_of_what_was_removed_are_checked(log: Place) -> None:
    prune(log, None, keep=SEGMENT)
    tamper(log, "UPDATE entry SET leaf = zeroblob(32) WHERE number = 7")
    (first, *_) = verify(log).problems
    assert "one of the entries 0 to " in first.what


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        prune(tmp_path / "none", None, keep=0)
