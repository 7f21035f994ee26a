"""Retention: the bodies of old entries are removed, with what was captured of them.

Their hashes stay, so that every proof still holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from triroute.proto import audit_pb2
from triroute.router.audit.begin import frontier_at, size_of
from triroute.router.audit.body import Entry
from triroute.router.audit.database import Failures, Session, opened
from triroute.router.audit.dictionaries import digest
from triroute.router.audit.events import PRUNED, REDACTED, event
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place
from triroute.router.audit.schema import SEGMENT
from triroute.router.capture.content import ContentStore, content_file

_AT_ONCE = 4 * SEGMENT  # entries, so that a service that writes to the log need not wait for long
_PAUSE_SECONDS = 0.15  # between them: SQLite's writers look ten times a second whether it is their turn
_DAY_US = 86_400_000_000  # that clocks may differ by
_REMOVE = (
    "UPDATE entry SET body = NULL, packing = NULL, at_us = NULL, request_id = NULL, trace_id = NULL"
    " WHERE number >= ? AND number < ? AND body IS NOT NULL"
)
_STEPS = "SELECT request_id FROM entry WHERE number >= ? AND number < ? AND request_id IS NOT NULL"
_NO_KEPT: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: `bodies`, all before entry `before`. `overwritten`: no bytes of theirs are left in the file."""

    before: int
    bodies: int
    overwritten: bool


def prune(place: Place, key: Path | None, *, before_us: int | None = None, keep: int | None = None) -> Pruned:
    """Remove the bodies of whole segments of entries, what was captured of their steps, and dictionaries then unused.

    Those that ended before a time, or all but the newest `keep` entries. The log itself tells of it, before it happens.
    Raises NotFound for what is no log, OSError where it or the content can't be written.
    """
    log = AuditLog(place, key)
    try:
        with opened(place):
            pass
        with log.changing():  # a wrong key is one, whatever there is to remove
            pass
        with _looking(place) as connection:
            end = _end(connection, before_us, keep)
            bodies, first = connection.execute(
                "SELECT count(*), coalesce(min(number), 0) FROM entry WHERE number < ? AND body IS NOT NULL", (end,)
            ).fetchone()
            rows = connection.execute("SELECT name, body FROM dictionary ORDER BY number").fetchall()
            left = [digest(name, words) for name, words in rows]
            told = audit_pb2.AuditPruned(
                before=end, bodies=bodies, root=frontier_at(connection, end).root(), dictionaries=left
            )
        if bodies:
            log.append([Entry.of_event(event(PRUNED, told))], _NO_KEPT)
            for start in range(first, end, _AT_ONCE):
                time.sleep(_PAUSE_SECONDS)
                part = start, min(start + _AT_ONCE, end)
                _remove_content(log, part)
                with log.changing() as connection:
                    connection.execute(_REMOVE, part)
            _remove_dictionaries(log)
        overwritten = log.compact()  # also what an earlier call had to leave
    except Failures as error:
        raise OSError(str(error)) from error
    finally:
        log.close()
    return Pruned(told.before, told.bodies, overwritten)


@contextmanager
def _looking(place: Place) -> Iterator[Session]:
    """All of a log is looked at, which takes a while, and meanwhile others may write."""
    with opened(place) as connection:
        connection.remove()
        yield connection


def _remove_content(log: AuditLog, part: tuple[int, int]) -> None:
    """Before their records, which lead to it."""
    contents = ContentStore(content_file(log.place))
    if not contents.path.exists():
        return
    with _looking(log.place) as connection:
        rows = connection.execute(_STEPS, part).fetchall()
    with contents.removing(request_id for (request_id,) in rows) as gone:
        if gone:
            told = audit_pb2.ContentRedacted(count=len(gone), reason="pruned with their records", author="log.pruned")
            log.append([Entry.of_event(event(REDACTED, told))], _NO_KEPT)


def _remove_dictionaries(log: AuditLog) -> None:
    """Those that no body is packed with; most entries are looked at while others may write."""
    used = "SELECT DISTINCT packing FROM entry WHERE number >= ? AND body IS NOT NULL"
    with _looking(log.place) as connection:
        size = size_of(connection)
        needed = set(connection.execute(used, (0,)).fetchall())
    with log.changing() as connection:
        needed |= set(connection.execute(used, (size,)).fetchall())
        unused = set(connection.execute("SELECT number FROM dictionary").fetchall()) - needed
        connection.executemany("DELETE FROM dictionary WHERE number = ?", sorted(unused))


def _end(connection: Session, before_us: int | None, keep: int | None) -> int:
    """The first entry that stays: where a segment begins."""
    size = size_of(connection)
    end = size if keep is None else max(0, size - keep)
    if before_us is not None:
        # A clock that jumped ahead says nothing: such an entry is as old as one that came after it.
        ahead = time.time_ns() // 1000 + _DAY_US
        (young,) = connection.execute(
            "SELECT min(number) FROM entry WHERE at_us >= ? AND at_us < ?", (before_us, ahead)
        ).fetchone()
        (old,) = connection.execute(
            "SELECT max(number) FROM entry WHERE at_us < ? AND number < ?",
            (min(before_us, ahead), size if young is None else young),
        ).fetchone()
        end = min(end, 0 if old is None else old + 1)
    return int(end // SEGMENT * SEGMENT)
