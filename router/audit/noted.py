"""The signed checkpoints that a log is compared with, and the key that is trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from triroute.router.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, parse_checkpoint
from triroute.router.audit.database import Session
from triroute.router.audit.merkle import Frontier
from triroute.router.audit.place import Place, PostgresUrl
from triroute.router.audit.report import Report
from triroute.router.audit.schema import SEGMENT, beside, split_peaks
from triroute.router.errors import NotFound

Notes = list[tuple[Path, str | None]]
_NONE = "no checkpoint of this log is kept here; give one that was kept elsewhere with --checkpoint"


def read_notes(place: Place, given: Path | None) -> Notes:
    """The checkpoint beside a log, None where there is none, and the one given. Raises NotFound.

    Whoever reads a database from another machine than its writer's has none beside it, and should give one.
    """
    side = beside(place, "checkpoint")
    notes: Notes = [(side, side.read_text(encoding="utf-8", errors="replace") if side.exists() else None)]
    if given is not None:
        if isinstance(place, PostgresUrl) and not beside(place, "pub").exists():
            notes.clear()
        try:
            notes.append((given, given.read_text(encoding="utf-8", errors="replace")))
        except OSError as error:
            raise NotFound(f"{given} can't be read: {error}") from error
    return notes


def trusted(connection: Session, place: Place, given: Verifier | None, report: Report) -> Verifier | None:
    """The key given, or the one beside the log, or the log's own; which must be the same."""
    found = connection.execute("SELECT key FROM log").fetchone()
    try:
        own = Verifier.parse(found[0] if found else "")
        report.origin = own.name
        public = beside(place, "pub")
        key = given or (Verifier.parse(public.read_text(encoding="utf-8")) if public.exists() else own)
    except (BadCheckpoint, UnicodeDecodeError) as error:
        report.add("public key", str(error))
        return given
    if str(key) != str(own):
        report.add("public key", f"the log names {own}, which is not the key that is trusted, {key}")
    return key


def checkpoints(connection: Session, notes: Notes, verifier: Verifier, report: Report) -> list[tuple[str, Checkpoint]]:
    """Where each was found, and what it says; the smallest first."""
    own = list(_of_the_log(connection, verifier, report))
    if not own:
        report.add("checkpoints", "the log has no signed checkpoint")
    beside_it = []
    for file, note in notes:
        if note is None:
            report.add(
                str(file), "the file with the last checkpoint is gone" if file.with_suffix(".pub").exists() else _NONE
            )
        elif (found := _parsed(str(file), note, verifier, report)) is not None:
            beside_it.append((str(file), found))
    return sorted([*own, *beside_it], key=lambda one: one[1].size)


def _of_the_log(connection: Session, verifier: Verifier, report: Report) -> Iterator[tuple[str, Checkpoint]]:
    rows = connection.execute("SELECT segment, size, note, peaks FROM checkpoint ORDER BY segment")
    for segment, size, note, peaks in rows:
        where = f"checkpoint {segment}"
        found = _parsed(where, str(note), verifier, report)
        if found is None:
            continue
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
