"""Whether a log is what it was: every hash is computed again from the bodies, and compared with signed checkpoints."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

from google.protobuf.message import DecodeError

from triroute.proto import audit_pb2
from triroute.router.audit.body import columns, unpack
from triroute.router.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, parse_checkpoint
from triroute.router.audit.merkle import Frontier, leaf_hash
from triroute.router.audit.schema import LOG_SINCE, SCHEMA, SEGMENT, beside, open_to_read, split_peaks, version_of
from triroute.router.audit.store import read_dictionaries
from triroute.router.errors import NotFound

_ROWS = 1000  # read at once
_MOST = 20  # problems that are told


@dataclass(frozen=True, slots=True)
class Problem:
    """Where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """What was found. `pruned` entries have hashes alone; `unsigned` ones came after the last checkpoint."""

    origin: str = ""
    entries: int = 0
    records: int = 0
    events: int = 0
    pruned: int = 0
    unsigned: int = 0
    root: str = ""
    checkpoints: list[str] = field(default_factory=list)  # that were compared
    problems: list[Problem] = field(default_factory=list)
    more: int = 0  # problems that are not told

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, where: str, what: str) -> None:
        """Note a problem; only so many are told."""
        if len(self.problems) < _MOST:
            self.problems.append(Problem(where, what))
        else:
            self.more += 1


def verify(path: Path, key: Verifier | None = None, checkpoint: Path | None = None) -> Report:
    """Read all of a log. `checkpoint` is a file with an earlier one, `key` the public key if not the one beside it.

    Raises NotFound where there is no log, or a checkpoint can't be read.
    """
    if not path.exists():
        raise NotFound(f"there is no {path}; name the log's file with --records")
    report = Report()
    notes = _notes(path, checkpoint)  # before the log: what is appended meanwhile is no problem
    try:
        with closing(open_to_read(path)) as connection:
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            connection.execute("BEGIN")
            version = version_of(connection)
            if version < LOG_SINCE:
                raise NotFound(
                    f"{path} has version {version}, from before there was a log; a service that writes to it makes one"
                )
            _Check(connection, path, report, key, notes).run()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # names in it, too, may be no text
        report.add(str(path), f"it can't be read as a log: {error}")
    return report


def _notes(path: Path, given: Path | None) -> list[tuple[Path, str | None]]:
    """The checkpoint beside a log, None where there is none, and the one given. Raises NotFound."""
    side = beside(path, "checkpoint")
    notes: list[tuple[Path, str | None]] = [
        (side, side.read_text(encoding="utf-8", errors="replace") if side.exists() else None)
    ]
    if given is not None:
        try:
            notes.append((given, given.read_text(encoding="utf-8", errors="replace")))
        except OSError as error:
            raise NotFound(f"{given} can't be read: {error}") from error
    return notes


class _Check:
    """One pass over a log."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        report: Report,
        key: Verifier | None,
        notes: list[tuple[Path, str | None]],
    ) -> None:
        self.connection, self.path, self.report = connection, path, report
        self.key, self.notes = key, notes
        self.frontier = Frontier()
        self.good = 0  # entries up to the last checkpoint that fits
        self.wanted: dict[str, str] = {}  # what must be kept -> the first entry that names it

    def run(self) -> None:
        """Fill the report."""
        for (found,) in self.connection.execute("PRAGMA integrity_check(3)"):
            if found != "ok":
                self.report.add(str(self.path), f"the file is damaged: {found}")
        self._schema()
        verifier = self._verifier()
        noted = sorted(self._checkpoints(verifier), key=lambda one: one[1].size) if verifier else []
        if verifier is not None and not any(where.startswith("checkpoint ") for where, _ in noted):
            self.report.add(str(self.path), "it has no signed checkpoint")
        self._entries(noted)
        self._kept()
        for lost in sorted(self.path.parent.glob(f"{escape(self.path.name)}.checkpoint.lost-*")):
            self.report.add(
                str(lost), "a checkpoint of entries that this log does not have; it was rewound or replaced"
            )

    def _schema(self) -> None:
        """Tables, indexes and triggers are those that this version makes."""
        select = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
        tables = "entry", "checkpoint", "kept", "dictionary", "log"  # others may stand beside them
        with closing(sqlite3.connect(":memory:")) as fresh:
            fresh.executescript(SCHEMA)
            expected = dict(fresh.execute(select).fetchall())
        found = dict(self.connection.execute(f"{select} AND tbl_name IN {tables} OR type = 'view'").fetchall())
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                self.report.add(f"schema {name}", "it is not as this version of Triroute makes it")

    def _verifier(self) -> Verifier | None:
        """The key that is trusted: the one given, or the one beside the log, or the log's own."""
        found = self.connection.execute("SELECT key FROM log").fetchone()
        try:
            own = Verifier.parse(found[0] if found else "")
            self.report.origin = own.name
            public = beside(self.path, "pub")
            trusted = self.key or (Verifier.parse(public.read_text(encoding="utf-8")) if public.exists() else own)
        except (BadCheckpoint, UnicodeDecodeError) as error:
            self.report.add("public key", str(error))
            return self.key
        if str(trusted) != str(own):
            self.report.add("public key", f"the log names {own}, which is not the key that is trusted, {trusted}")
        return trusted

    def _checkpoints(self, verifier: Verifier) -> Iterator[tuple[str, Checkpoint]]:
        """Those of the log, the one beside it, and the one given."""
        rows = self.connection.execute("SELECT segment, size, note, peaks FROM checkpoint ORDER BY segment")
        for segment, size, note, peaks in rows:
            where = f"checkpoint {segment}"
            found = self._parsed(where, note, verifier)
            if found is None:
                continue
            if (found.size, segment) != (size, (found.size - 1) // SEGMENT):
                self.report.add(where, f"its columns say {size} entries in segment {segment}, its note {found.size}")
            if _root(found.size, peaks) != found.root:
                self.report.add(where, "its subtrees are not those of its root")
            yield where, found
        for file, note in self.notes:
            if note is None:
                self.report.add(str(file), "the file with the last checkpoint is gone")
            elif (found := self._parsed(str(file), note, verifier)) is not None:
                yield str(file), found

    def _parsed(self, where: str, note: str, verifier: Verifier) -> Checkpoint | None:
        try:
            return parse_checkpoint(str(note), verifier)
        except BadCheckpoint as error:
            self.report.add(where, str(error))
            return None

    def _entries(self, noted: list[tuple[str, Checkpoint]]) -> None:
        dictionaries = read_dictionaries(self.connection)
        due = iter(noted)
        next_ = next(due, None)
        for number, leaf, at_us, request_id, trace_id, packing, body in self._rows():
            while next_ is not None and next_[1].size <= self.frontier.size:
                self._compare(*next_)
                next_ = next(due, None)
            if number != self.frontier.size:
                self._displaced(number)
            where = f"entry {number}"
            if body is None:
                self.report.pruned += 1
                if (at_us, request_id, trace_id, packing) != (None, None, None, None):
                    self.report.add(where, "its body is gone, and what it was found by is not")
            else:
                self._body(where, leaf, (at_us, request_id, trace_id), packing, body, dictionaries)
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
        cursor = self.connection.execute(
            "SELECT number, leaf, at_us, request_id, trace_id, packing, body FROM entry ORDER BY number"
        )
        while rows := cursor.fetchmany(_ROWS):
            yield from rows

    def _displaced(self, number: int) -> None:
        expected = self.frontier.size
        if number > expected:
            self.report.add(f"entry {expected}", f"it is missing: after it, entry {number} follows")
        else:
            self.report.add(f"entry {number}", f"it stands where entry {expected} should")

    def _body(
        self,
        where: str,
        leaf: bytes,
        found_by: tuple[object, object, object],
        packing: int,
        body: bytes,
        dictionaries: dict[int, bytes],
    ) -> None:
        try:
            canonical = unpack(packing, body, dictionaries)
        except (ValueError, TypeError) as error:
            self.report.add(where, f"its body is damaged: {error}")
            return
        if leaf_hash(canonical) != leaf:
            self.report.add(where, "its body is not the one that was hashed")
            return
        try:
            entry = audit_pb2.AuditEntry.FromString(canonical)
        except DecodeError:
            self.report.add(where, "its body is no entry")
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
        for sha256, packing, body in self.connection.execute("SELECT sha256, packing, body FROM kept"):
            there.add(sha256)
            try:
                plain = unpack(packing, body, {})
            except (ValueError, TypeError) as error:
                self.report.add(f"kept {sha256}", str(error))
                continue
            if hashlib.sha256(plain).hexdigest() != sha256:
                self.report.add(f"kept {sha256}", "it is not what has this SHA-256")
        for sha256 in self.wanted.keys() - there:
            self.report.add(f"kept {sha256}", f"it is missing; {self.wanted[sha256]} refers to it")


def _root(size: int, peaks: object) -> bytes:
    """Of a tree with these full subtrees; empty where there can't be such a tree."""
    try:
        return Frontier(size, split_peaks(peaks)).root() if isinstance(peaks, bytes) else b""
    except ValueError:
        return b""
