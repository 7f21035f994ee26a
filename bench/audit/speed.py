"""How fast records are appended and verified."""

from __future__ import annotations

import statistics
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from triroute.bench.policy.result import Result
from triroute.proto import router_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.place import Place
from triroute.router.audit.store import Kind, RecordStore
from triroute.router.audit.verify import verify
from triroute.router.audit.writer import RecordWriter

_DIFFERENT = 8
_QUEUED = 2_000  # at a time: the queue is bounded


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds: for one record of many, for one that is required, for 64 of those, for one that is verified."""

    appended: float
    alone: float
    together: float
    verified: float
    entries: int
    problems: int


def measure(folder: Path, source: RecordStore, count: int) -> list[Result]:
    """Of copies of real records, under ids of their own; `source` keeps what they refer to."""
    path, records = folder / "speed.sqlite", source.latest(_DIFFERENT)
    found = rates(path, source, count)
    size = path.stat().st_size
    tokens = sum(len(record.token_ids) for record in records) / len(records)
    step = statistics.median(one.finish.timings.decode_us for one in records) / 1e6
    packing = min(_packed(records) for _ in range(5))
    rate = f"{1 / found.verified:,.0f} a second"
    return [
        Result("verify, a record", "target 20,000 a second", found.verified * 1e6, 50, "µs", rate),
        Result("append, best effort, a record", "", found.appended * 1e6, 2_000, "µs", f"{tokens:.0f} tokens a record"),
        Result("file, with indexes and hashes", "", size / found.entries / tokens, 24, "B a token", ""),
        Result("append, of the time of its step", "", 100 * found.appended / step, 3, "%", f"{step:.2f} s, one stream"),
        Result("pack, a record", "", packing * 1e6, 2_000, "µs", "columns, hash and deflate, of the appending"),
        Result("append, required, alone", "", found.alone * 1e3, 50, "ms", "median, with its fsync"),
        Result("append, required, 64 at once", "", found.together * 1e3, 200, "ms", "all of them, one fsync"),
        Result("verify, problems", "", found.problems, 0, "", ""),
    ]


def rates(place: Place, source: RecordStore, count: int) -> Rates:
    """Of a new log in this place."""
    records = source.latest(_DIFFERENT)
    copies = [_copy(records[number % len(records)]) for number in range(count)]
    writer = RecordWriter(place)
    for record in records:
        for digest in (record.vocabulary_sha256, record.engine_sha256, record.decision.policy_revision):
            writer.keep(Kind.POLICY, digest, source.kept(digest) or b"")
    started = time.perf_counter()
    for number, record in enumerate(copies):
        writer.add(record)
        if number % _QUEUED == 0:
            writer.flush()
    writer.flush()
    appended = (time.perf_counter() - started) / count
    alone = [_timed(writer, [record]) for record in map(_copy, records * 4)]
    together = _timed(writer, [_copy(records[number % len(records)]) for number in range(64)])
    writer.close()
    started = time.perf_counter()
    report = verify(place)
    verified = (time.perf_counter() - started) / report.entries
    return Rates(appended, statistics.median(alone), together, verified, report.entries, len(report.problems))


def _copy(record: router_pb2.Record) -> router_pb2.Record:
    copy = router_pb2.Record()
    copy.CopyFrom(record)
    copy.request_id = copy.decision.request_id = uuid.uuid4().hex
    copy.decision.trace_id = uuid.uuid4().hex
    return copy


def _timed(writer: RecordWriter, records: list[router_pb2.Record]) -> float:
    """Seconds until all are on the disk."""
    started = time.perf_counter()
    done: list[Future[None]] = [writer.add_durably(record) for record in records]
    for one in done:
        one.result()
    return time.perf_counter() - started


def _packed(records: list[router_pb2.Record]) -> float:
    started = time.process_time()
    for record in records:
        Entry.of_record(record)
    return (time.process_time() - started) / len(records)
