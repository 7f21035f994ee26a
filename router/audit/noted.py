"""The signed checkpoints that a log is compared with, and the key that is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triroute.router.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, parse_checkpoint
from triroute.router.audit.database import Session
from triroute.router.audit.merkle import Frontier
from triroute.router.audit.place import Place, PostgresUrl
from triroute.router.audit.report import Report
from triroute.router.audit.schema import SEGMENT, beside, split_peaks
from triroute.router.errors import NotFound

_LINES = 5  # of a checkpoint with one signature
_NONE = "no checkpoint of this log is kept here; give one that was kept elsewhere with --checkpoint"
_NO_KEY = "the public key beside the log is gone, and anybody can sign a log with another one; give the key with --key"


@dataclass(frozen=True, slots=True)
class Notes:
    """What there is to compare a log with, read before the log itself. Texts are None where there is no file.

    Whoever reads a database from another machine than its writer's has nothing beside it, and should give something.
    """

    place: Place
    public: str | None
    side: str | None
    given: tuple[Path, str] | None
    key: Verifier | None

    @classmethod
    def read(cls, place: Place, key: Verifier | None, given: Path | None, report: Report) -> Notes:
        """What is beside a log, and what was given. Raises NotFound for a file that was given and can't be read."""
        try:
            elsewhere = None if given is None else (given, _text(given))
        except OSError as error:
            raise NotFound(f"{given} can't be read: {error}") from error
        public, side = (_beside(place, what, report) for what in ("pub", "checkpoint"))
        return cls(place, public, side, elsewhere, key)

    @property
    def are_elsewhere(self) -> bool:
        """Whether nothing can be beside the log, here."""
        return isinstance(self.place, PostgresUrl) and self.public is None

    def of_a_log_that_is_gone(self) -> str:
        """What shows that there was one, where the database has none; empty where nothing does."""
        for file, note in self._files():
            if note:
                lines = note.split("\n")
                size = f"{lines[1]} entries" if len(lines) > 1 and lines[1].isdecimal() else "a log"
                return f"{file} tells of {size}"
        return f"{beside(self.place, 'pub')} is its key" if self.public else ""

    def trusted(self, connection: Session, report: Report) -> Verifier | None:
        """The key given, or the one beside the log, or the log's own; which must be the same."""
        row = connection.execute("SELECT key FROM log").fetchone()
        text = row[0] if row else ""
        if self.key is None and self.public is None and not (self.are_elsewhere and self.given):
            report.add(str(beside(self.place, "pub")), _NO_KEY)
        try:
            own = Verifier.parse(text if isinstance(text, str) else "")
        except BadCheckpoint as error:
            report.add("public key", str(error))
            return self.key or self._beside_it(report)
        report.origin, key = own.name, self.key or self._beside_it(report) or own
        if str(own) != text:
            report.add("public key", f"the log writes it as {text!r}, and it is {own}")
        if str(key) != str(own):
            report.add("public key", f"the log names {own}, which is not the key that is trusted, {key}")
        report.key = str(key)
        report.vouched = self.key is not None or (isinstance(self.place, PostgresUrl) and bool(self.public))
        return key

    def checkpoints(self, connection: Session, verifier: Verifier, report: Report) -> list[tuple[str, Checkpoint]]:
        """Where each was found, and what it says; the smallest first."""
        found = list(_of_the_log(connection, verifier, report))
        if not found:
            report.add("checkpoints", "the log has no signed checkpoint")
        for file, note in self._files():
            if note is None:
                there = self.public is not None
                report.add(str(file), "the file with the last checkpoint is gone" if there else _NONE)
            elif (one := _parsed(str(file), note, verifier, report)) is not None:
                found.append((str(file), one))
                report.vouched |= file.resolve() != beside(self.place, "checkpoint").resolve()
        return sorted(found, key=lambda one: one[1].size)

    def _beside_it(self, report: Report) -> Verifier | None:
        try:
            return None if self.public is None else Verifier.parse(self.public)
        except BadCheckpoint as error:
            report.add(str(beside(self.place, "pub")), str(error))
            return None

    def _files(self) -> list[tuple[Path, str | None]]:
        side = [] if self.are_elsewhere and self.given else [(beside(self.place, "checkpoint"), self.side)]
        return [*side, *([self.given] if self.given else [])]


def _beside(place: Place, what: str, report: Report) -> str | None:
    file = beside(place, what)
    try:
        return _text(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        report.add(str(file), f"it can't be read: {error.strerror}")
        return ""


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="replace")


def _of_the_log(connection: Session, verifier: Verifier, report: Report) -> Iterator[tuple[str, Checkpoint]]:
    rows = connection.execute("SELECT segment, size, note, peaks FROM checkpoint ORDER BY segment")
    for segment, size, note, peaks in rows:
        where = f"checkpoint {segment}"
        found = _parsed(where, note if isinstance(note, str) else "", verifier, report)
        if found is None:
            continue
        if note.count("\n") != _LINES:
            report.add(where, "it has more signatures than the one that was written")
        if (found.size, segment) != (size, (found.size - 1) // SEGMENT):
            report.add(where, f"its columns say {size} entries in segment {segment}, its note {found.size}")
        if _root(found.size, peaks) != found.root:
            report.add(where, "its subtrees are not those of its root")
        yield where, found


def _parsed(where: str, note: str, verifier: Verifier, report: Report) -> Checkpoint | None:
    try:
        return parse_checkpoint(note, verifier)
    except BadCheckpoint as error:
        report.add(where, str(error))
        return None


def _root(size: int, peaks: object) -> bytes:
    """Of a tree with these full subtrees; empty where there can't be such a tree."""
    try:
        return Frontier(size, split_peaks(peaks)).root() if isinstance(peaks, bytes) else b""
    except ValueError:
        return b""
