"""Whether a log is what it was: every hash is computed again from the bodies, and compared with signed checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from triroute.proto import audit_pb2
from triroute.router.audit.body import columns, read_entry, unpack
from triroute.router.audit.checkpoint import Checkpoint, Verifier
from triroute.router.audit.database import Failures, NoLog, Session, opened_raw
from triroute.router.audit.dictionaries import Dictionaries
from triroute.router.audit.events import ENGINE, IMPORTED, PRUNED
from triroute.router.audit.merkle import Frontier
from triroute.router.audit.noted import Notes
from triroute.router.audit.place import Place
from triroute.router.audit.report import Report
from triroute.router.audit.schema import GONE, SEGMENT, beside
from triroute.router.errors import Damaged

T = TypeVar("T", bound=Message)


def verify(place: Place, key: Verifier | None = None, checkpoint: Path | None = None) -> Report:
    """Read all of a log. `checkpoint` is a file with an earlier one, `key` the public key if not the one beside it.

    Raises NotFound where there is no log, or a checkpoint can't be read.
    """
    report = Report()
    notes = Notes.read(place, key, checkpoint, report)  # before the log: what is appended meanwhile is no problem
    try:
        with opened_raw(place) as connection:
            _Check(connection, place, report, notes).run()
    except NoLog as error:
        shown = notes.of_a_log_that_is_gone()
        if not shown:
            raise
        report.add(str(place), f"the log was removed, rewound or replaced: {shown}, but {error}")
    except (*Failures, UnicodeDecodeError) as error:  # names in it, too, may be no text
        report.add(str(place), f"it can't be read as a log: {error}")
    return report


class _Check:
    """One pass over a log."""

    def __init__(self, connection: Session, place: Place, report: Report, notes: Notes) -> None:
        self.connection, self.place, self.report, self.notes = connection, place, report, notes
        self.frontier = Frontier()
        self.good = 0  # entries up to the last checkpoint that fits
        self.bare: list[tuple[int, int]] = []  # from and to: entries without bodies
        self.pruned = 0  # entries whose bodies the log says that it removed
        self.told: set[bytes] = set()  # digests of dictionaries, by the newest entry about a removal
        self.imported = 0  # entries from before there was a log, which were appended at once
        self.wanted: dict[str, str] = {}  # what must be kept -> the first entry that names it

    def run(self) -> None:
        """Fill the report."""
        for where, what in self.connection.damage():
            self.report.add(where, what)
        self.dictionaries = Dictionaries(self.connection)
        verifier = self.notes.trusted(self.connection, self.report)
        noted = self.notes.checkpoints(self.connection, verifier, self.report) if verifier else []
        self._entries(noted)
        self._segments()
        self._kept()
        if self.told or not self.report.pruned:
            for where, what in self.dictionaries.unknown(self.told):
                self.report.add(where, what)
        for start, end in self.bare:
            if end > self.pruned:
                where = f"entry {end - 1}" if end - start == 1 else f"entries {max(start, self.pruned)} to {end - 1}"
                self.report.add(where, "the body is gone, and the log does not tell of a removal")
        side = beside(self.place, "checkpoint")
        for lost in sorted(side.parent.glob(f"{escape(side.name)}.lost-*")):
            if lost.is_file() and lost.read_bytes().startswith(GONE.encode()):
                what = "a writer found the last checkpoint beside the log gone, and with it what shows a log rewound"
            else:
                what = "a checkpoint of entries that this log does not have; it was rewound or replaced"
            self.report.add(str(lost), what)
        public = beside(self.place, "pub")
        for lost in sorted(public.parent.glob(f"{escape(public.name)}.lost-*")):
            self.report.add(str(lost), "the public key of another log, which this one has replaced")

    def _entries(self, noted: list[tuple[str, Checkpoint]]) -> None:
        due = iter(noted)
        next_, expected = next(due, None), 0
        for number, leaf, at_us, request_id, trace_id, packing, body in self._rows():
            while next_ is not None and next_[1].size <= self.frontier.size:
                self._compare(*next_)
                next_ = next(due, None)
            if not isinstance(number, int):  # a damaged schema can make it anything
                self.report.add(f"entry {expected}", f"its number is {number!r}")
                number = expected
            if number != expected:
                self._displaced(number, expected)
            expected = number + 1
            where = f"entry {number}"
            if body is None:
                self._bare(number)
                if (at_us, request_id, trace_id, packing) != (None, None, None, None):
                    self.report.add(where, "its body is gone, and what it was found by is not")
            else:
                self._body(number, leaf, (at_us, request_id, trace_id), packing, body)
            self.frontier.append(leaf if isinstance(leaf, bytes) else b"")
        while next_ is not None:
            if next_[1].size > self.frontier.size:
                self.report.add(
                    next_[0],
                    f"it tells of {next_[1].size} entries, and the log has {self.frontier.size}:"
                    f" entries from {self.frontier.size} on were removed (the log was rewound)",
                )
            else:
                self._compare(*next_)
            next_ = next(due, None)
        last = max((one.size for _, one in noted), default=0)
        self.report.entries = self.frontier.size
        self.report.unsigned = max(0, self.frontier.size - last)
        if self.report.unsigned:
            self.report.add(f"entries {last} to {self.frontier.size - 1}", "no checkpoint covers them")
        self.report.root = self.frontier.root().hex()

    def _rows(self) -> Iterator[tuple[int, bytes, object, object, object, int, bytes]]:
        return self.connection.stream(
            "SELECT number, leaf, at_us, request_id, trace_id, packing, body FROM entry ORDER BY number"
        )

    def _displaced(self, number: int, expected: int) -> None:
        if number > expected:
            self.report.add(f"entry {expected}", f"it is missing: after it, entry {number} follows")
        else:
            self.report.add(f"entry {number}", f"it stands where entry {expected} should")

    def _bare(self, number: int) -> None:
        self.report.pruned += 1
        if self.bare and self.bare[-1][1] == number:
            self.bare[-1] = (self.bare[-1][0], number + 1)
        else:
            self.bare.append((number, number + 1))

    def _body(
        self, number: int, leaf: bytes, found_by: tuple[object, object, object], packing: object, body: object
    ) -> None:
        where = f"entry {number}"
        try:
            _, entry = read_entry(leaf, packing, body, self.dictionaries.words)
        except Damaged as error:
            self.report.add(where, error.message)
            return
        if columns(entry) != found_by:
            self.report.add(where, f"it is to be found by {found_by}, and its body says {columns(entry)}")
        if entry.HasField("record"):
            self.report.records += 1
            record = entry.record
            if record.vocabulary_sha256:
                for sha256 in (record.vocabulary_sha256, record.engine_sha256, record.decision.policy_revision):
                    if sha256:
                        self.wanted.setdefault(sha256, where)
        else:
            self.report.events += 1
            self._event(where, entry.event)
        wrong = self.dictionaries.wrong(entry, packing, 0 < number <= self.imported or bool(self.report.pruned))
        if wrong:
            self.report.add(where, wrong)

    def _event(self, where: str, event: audit_pb2.AuditEvent) -> None:
        if event.kind == PRUNED:
            told = _told(event, audit_pb2.AuditPruned())
            self.pruned, self.told = max(self.pruned, told.before), set(told.dictionaries)
        elif event.kind == ENGINE:
            if sha256 := _told(event, audit_pb2.EngineStarted()).engine_sha256:
                self.wanted.setdefault(sha256, where)
        elif event.kind == IMPORTED and where == "entry 0":
            self.imported = _told(event, audit_pb2.AuditImported()).records

    def _segments(self) -> None:
        """Whoever removes checkpoints makes room for others: each segment has one, as no batch is as long as it."""
        there = {segment for (segment,) in self.connection.execute("SELECT segment FROM checkpoint")}
        first = self.imported // SEGMENT + 1 if self.imported else 0
        if there:
            for segment in range(first, -(-self.report.entries // SEGMENT)):
                if segment not in there:
                    self.report.add(f"checkpoint {segment}", "it is missing")

    def _compare(self, where: str, checkpoint: Checkpoint) -> None:
        if checkpoint.root == self.frontier.root():
            self.good = checkpoint.size
            self.report.checkpoints.append(f"{where}: {checkpoint.size} entries")
            return
        self.report.add(
            where,
            f"its root is not that of the first {checkpoint.size} entries: one of the entries {self.good} to"
            f" {checkpoint.size - 1} was altered, removed, inserted or moved, or the log was forked",
        )

    def _kept(self) -> None:
        there = set()
        for sha256, packing, body in self.connection.stream("SELECT sha256, packing, body FROM kept"):
            there.add(sha256)
            try:
                plain = unpack(packing, body, {})
            except ValueError as error:
                self.report.add(f"kept {sha256}", str(error))
                continue
            if hashlib.sha256(plain).hexdigest() != sha256:
                self.report.add(f"kept {sha256}", "it is not what has this SHA-256")
        for sha256 in self.wanted.keys() - there:
            self.report.add(f"kept {sha256}", f"it is missing; {self.wanted[sha256]} refers to it")


def _told(event: audit_pb2.AuditEvent, told: T) -> T:
    """What an event says; nothing where it is not what its kind says."""
    with suppress(DecodeError):
        event.detail.Unpack(told)
    return told
