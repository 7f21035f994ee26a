"""How a writer meets a log: it makes a new one, takes over records from before there were logs, and looks back."""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit.body import Entry, pack
from triroute.router.audit.checkpoint import BadCheckpoint, Verifier, parse_checkpoint
from triroute.router.audit.database import Session
from triroute.router.audit.events import IMPORTED, event
from triroute.router.audit.merkle import Frontier, leaf_hash
from triroute.router.audit.place import Place
from triroute.router.audit.schema import GONE, beside, split_peaks

log = logging.getLogger("triroute.audit")


def make(connection: Session, version: int, key: Ed25519PrivateKey) -> None:
    """A new log; the records of a file of an earlier version are its first entries."""
    old, kept = connection.make_tables(version)
    connection.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(name, *pack(body)) for name, body in kept])
    verifier = Verifier(f"triroute/{uuid.uuid4().hex[:16]}", key.public_key())
    connection.execute("INSERT INTO log (one, key) VALUES (1, ?)", (str(verifier),))
    if version:
        told = audit_pb2.AuditImported(records=len(old), version=version)
        entries = [Entry.of_event(event(IMPORTED, told))]
        entries += [Entry.of_record(router_pb2.Record.FromString(body)) for body in old]
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", map(row, range(len(entries)), entries))


def size_of(connection: Session) -> int:
    """How many entries a log has."""
    (size,) = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM entry").fetchone()
    return int(size)


def row(number: int, entry: Entry, dictionary: tuple[int, bytes] | None = None) -> tuple[object, ...]:
    """An entry in its place, as the table `entry` holds it."""
    found_by = (entry.at_us, entry.request_id, entry.trace_id)
    return number, leaf_hash(entry.canonical), *found_by, *pack(entry.canonical, dictionary)


def own(connection: Session, place: Place, key: Ed25519PrivateKey, key_path: Path) -> Verifier:
    """The log's public key. Raises OSError where it is not the key's that we have."""
    found = connection.execute("SELECT key FROM log").fetchone()
    try:
        verifier = Verifier.parse(found[0] if found else "")
    except BadCheckpoint as error:
        raise OSError(f"the log is damaged: {error}") from error
    if verifier.raw != Verifier(verifier.name, key.public_key()).raw:
        raise OSError(
            f"{key_path} is not the key that signs this log;"
            " give the right one, or name another place to begin another log"
        )
    return verifier


def publish(place: Place, verifier: Verifier) -> None:
    """The public key beside a log that is there to stay. One of another log is kept as evidence."""
    public = beside(place, "pub")
    try:
        there = public.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        there = ""
    if there.strip() != str(verifier):
        if there:
            os.replace(public, beside(place, f"pub.lost-{time.time_ns()}"))
        replace(public, f"{verifier}\n")


def look_back(connection: Session, place: Place, verifier: Verifier) -> bool:
    """Keep a checkpoint beside the log that the log does not hold; one that is gone leaves evidence, too.

    Whether there is none where none was written yet.
    """
    side = beside(place, "checkpoint")
    try:
        found = parse_checkpoint(side.read_text(encoding="utf-8"), verifier)
        if found.root != frontier_at(connection, found.size).root():
            keep_lost(place, "its root is another one")
    except FileNotFoundError:
        (size,) = connection.execute("SELECT coalesce(max(size), 0) FROM checkpoint").fetchone()
        if not size or not _is_known_here(place):
            return True
        keep_lost(place, f"it has {size} entries, and the last checkpoint beside it is gone")
    except (BadCheckpoint, ValueError) as error:
        keep_lost(place, str(error))
    return False


def _is_known_here(place: Place) -> bool:
    """Whether files beside a log were ever on this machine: those of a log in a database may begin on another one."""
    return isinstance(place, Path) or beside(place, "pub").exists()


def keep_lost(place: Place, why: str) -> None:
    """Evidence that this log is not the one that it was: its writer goes on, and `verify` tells of it."""
    side, lost = beside(place, "checkpoint"), beside(place, f"checkpoint.lost-{time.time_ns()}")
    log.error("the log %s is not the one that it was (%s): %s shows what is missing", place, why, lost)
    if side.exists():
        os.replace(side, lost)
    else:
        replace(lost, f"{GONE}: {why}\n")


def frontier_at(connection: Session, size: int) -> Frontier:
    """The tree of the first `size` entries. Raises ValueError where there are fewer."""
    found = connection.execute(
        "SELECT size, peaks FROM checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1", (size,)
    ).fetchone()
    frontier = Frontier(found[0], split_peaks(found[1])) if found else Frontier()
    rows = connection.execute(
        "SELECT leaf FROM entry WHERE number >= ? AND number < ? ORDER BY number", (frontier.size, size)
    )
    for (leaf,) in rows:
        frontier.append(leaf)
    if frontier.size != size:
        raise ValueError(f"it tells of {size} entries, and the log has {frontier.size}")
    return frontier


def replace(path: Path, text: str) -> None:
    """Readers see the old text or the new one. What must outlive the machine is in the log itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        mine.write_text(text, encoding="utf-8")
        os.replace(mine, path)
    except OSError:
        mine.unlink(missing_ok=True)
        raise
