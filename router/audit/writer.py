"""Writes the log off the request's path: on one thread, what has gathered in one transaction.

An outage of the log fails no step, unless its policy says that its record is required. What is lost is counted, and the
log tells of the gap as soon as it can be written again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.events import GAP, event
from triroute.router.audit.log import AuditLog, Sink
from triroute.router.audit.place import Place
from triroute.router.audit.store import Kind
from triroute.router.errors import AuditUnavailable

log = logging.getLogger("triroute.audit")

_BATCH = 256
_MOST_QUEUED = 10_000
_PROBE_SECONDS = 1.0  # between attempts of a broken log that nobody writes to


@dataclass(frozen=True, slots=True)
class _Item:
    entry: router_pb2.Record | audit_pb2.AuditEvent
    written: Future[None] | None = None  # set when it is on the disk


class RecordWriter:
    """Takes records and events from any thread. `lost` counts those that were given up, since the start."""

    def __init__(self, place: Place, key: Path | None = None, sink: Sink | None = None) -> None:
        self.place = place
        self.lost = 0
        self.written = 0
        self.broken = ""  # why nothing can be written at present
        self._sink: Sink = sink or AuditLog(place, key)
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self._kept: dict[str, bytes] = {}  # all of it: another log may take the place of the one that has it
        self._gap: audit_pb2.AuditGap | None = None  # to be told, with what was lost
        self._closing = self._hopeless = False
        self._losing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="triroute-audit", daemon=True)
        self._thread.start()

    def add(self, record: router_pb2.Record) -> None:
        """Queue a record. It is nobody else's to change from now on."""
        self._put(_Item(record))

    def miss(self, why: str) -> None:
        """Count a record that could not be made: it is lost, and the log will tell."""
        self._lose(1, why)

    def add_durably(self, record: router_pb2.Record) -> Future[None]:
        """Queue a record; done once it is on the disk. Fails with AuditUnavailable."""
        return self._put_durably(record)

    def append_event(self, kind: str, detail: Message) -> None:
        """Queue something else that happened."""
        self._put(_Item(event(kind, detail)))

    def append_event_durably(self, kind: str, detail: Message) -> Future[None]:
        """As `append_event`; done as with `add_durably`."""
        return self._put_durably(event(kind, detail))

    def keep(self, kind: Kind, sha256: str, body: bytes) -> None:
        """Write something that entries refer to by its SHA-256, once in each log: with the next entry."""
        self._kept.setdefault(sha256, body)

    def flush(self) -> None:
        """Wait until everything queued is written or given up."""
        self._queue.join()

    def close(self) -> None:
        """Write what is queued, then stop. Where nothing can be written any more, one attempt has to do."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def _put_durably(self, entry: router_pb2.Record | audit_pb2.AuditEvent) -> Future[None]:
        written: Future[None] = Future()
        written.set_running_or_notify_cancel()  # who waits may go; the entry is written all the same
        self._put(_Item(entry, written))
        return written

    def _put(self, item: _Item) -> None:
        if self._queue.qsize() < _MOST_QUEUED:
            self._queue.put(item)
        else:
            self._give_up([item], "the log is slower than what is to be written")

    def _run(self) -> None:
        while True:
            batch = self._gather()
            items = [item for item in batch if item is not None]
            if items or self._gap is not None:
                self._write(items)
            for _ in batch:
                self._queue.task_done()
            if None in batch:
                self._sink.close()
                return

    def _gather(self) -> list[_Item | None]:
        """What is queued; nothing after a while, where there is a gap to tell of."""
        try:
            batch = [self._queue.get(timeout=_PROBE_SECONDS if self._gap is not None else None)]
        except queue.Empty:
            return []
        while len(batch) < _BATCH and not self._queue.empty():
            batch.append(self._queue.get())
        return batch

    def _write(self, items: list[_Item]) -> None:
        if self._hopeless:
            self._give_up(items, self.broken)
            return
        with self._losing:
            gap, self._gap = self._gap, None
        try:
            entries = [Entry.of_event(event(GAP, gap))] if gap is not None else []
            entries += [_entry(item.entry) for item in items]
            self._sink.append(entries, dict(self._kept))
        except Exception as error:  # also a bug of ours: this thread must go on
            self._fail(items, gap, error)
            return
        if self.broken:
            log.warning("records are written again to %s; %s were lost", self.place, gap.lost if gap else 0)
        self.broken = ""
        self.written += len(items)
        for item in items:
            if item.written is not None:
                item.written.set_result(None)

    def _fail(self, items: list[_Item], gap: audit_pb2.AuditGap | None, error: Exception) -> None:
        why = str(error) or type(error).__name__
        if not isinstance(error, OSError):
            log.error("writing to %s failed by a bug of ours", self.place, exc_info=error)
        elif not self.broken:
            log.error("records can't be written to %s: %s; steps go on without", self.place, why)
        self.broken = why
        self._hopeless = self._closing
        self._give_up(items, why, gap)

    def _give_up(self, items: list[_Item], error: str, gap: audit_pb2.AuditGap | None = None) -> None:
        self._lose(len(items), error, gap)
        for item in items:
            if item.written is not None:
                item.written.set_exception(unavailable(error))

    def _lose(self, count: int, error: str, gap: audit_pb2.AuditGap | None = None) -> None:
        """Count what is lost, together with an earlier gap that could not be told."""
        with self._losing:
            before = gap or self._gap
            self._gap = before or audit_pb2.AuditGap(since_us=time.time_ns() // 1000, error=error)
            self._gap.lost += count
            self.lost += count


def unavailable(error: str) -> AuditUnavailable:
    """The error for a step whose record is required."""
    return AuditUnavailable(
        f"the policy requires an audit record of this step, and the log can't be written: {error}", retry_ms=1_000
    )


def _entry(entry: router_pb2.Record | audit_pb2.AuditEvent) -> Entry:
    return Entry.of_record(entry) if isinstance(entry, router_pb2.Record) else Entry.of_event(entry)
