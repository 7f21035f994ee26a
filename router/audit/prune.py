"""Retention: the bodies of old entries are removed, and their hashes stay, so that every proof still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from triroute.proto import audit_pb2
from triroute.router.audit.begin import frontier_at
from triroute.router.audit.body import Entry
from triroute.router.audit.database import Failures, Session, opened
from triroute.router.audit.events import PRUNED, event
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place
from triroute.router.audit.schema import SEGMENT

_AT_ONCE = 32 * SEGMENT  # entries, so that a service that writes to the log need not wait for long
_REMOVE = (
    "UPDATE entry SET body = NULL, packing = NULL, at_us = NULL, request_id = NULL, trace_id = NULL"
    " WHERE number >= ? AND number < ? AND body IS NOT NULL"
)
_NO_KEPT: Mapping[str, bytes] = {}


def prune(
    place: Place, key: Path | None, *, before_us: int | None = None, keep: int | None = None
) -> audit_pb2.AuditPruned:
    """Remove the bodies of whole segments of entries.

    Those that ended before a time, or all but the newest `keep` entries. The log itself tells of it, before it happens.
    Raises NotFound for what is no log, OSError where it can't be written.
    """
    log = AuditLog(place, key)
    try:
        with opened(place):
            pass
        with log.changing() as connection:
            end = _end(connection, before_us, keep)
            (bodies,) = connection.execute(
                "SELECT count(*) FROM entry WHERE number < ? AND body IS NOT NULL", (end,)
            ).fetchone()
            told = audit_pb2.AuditPruned(before=end, bodies=bodies, root=frontier_at(connection, end).root())
        if bodies:
            log.append(_entries(told), _NO_KEPT)
            for start in range(0, end, _AT_ONCE):
                with log.changing() as connection:
                    connection.execute(_REMOVE, (start, min(start + _AT_ONCE, end)))
            log.compact()
    except Failures as error:
        raise OSError(str(error)) from error
    finally:
        log.close()
    return told


def _entries(told: audit_pb2.AuditPruned) -> Sequence[Entry]:
    return [Entry.of_event(event(PRUNED, told))]


def _end(connection: Session, before_us: int | None, keep: int | None) -> int:
    """The first entry that stays: where a segment begins."""
    (size,) = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM entry").fetchone()
    end = size if keep is None else max(0, size - keep)
    if before_us is not None:
        (young,) = connection.execute("SELECT min(number) FROM entry WHERE at_us >= ?", (before_us,)).fetchone()
        end = min(end, size if young is None else young)
    return int(end // SEGMENT * SEGMENT)
