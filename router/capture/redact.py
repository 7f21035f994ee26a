"""Captured requests are removed for good, and the log tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triroute.proto import audit_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.database import opened
from triroute.router.audit.events import REDACTED, event
from triroute.router.audit.log import AuditLog
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.capture.content import ContentStore, content_file


def find(place: Place, wanted: str) -> str:
    """The request id of a step; of one whose record is gone or damaged, by the whole of it. Raises NotFound."""
    if ContentStore(content_file(place)).holds(wanted):
        return wanted
    return RecordStore(place).find(wanted).request_id


def redact(place: Place, key: Path | None, request_ids: Sequence[str], reason: str, author: str) -> list[str]:
    """Remove what was captured of these steps; those of which something was there, each once.

    They go once the log holds, on the disk, that they did: nothing goes untold. After a crash in between, the log names
    what is still there, and the same once more removes it. Raises NotFound for what is no log, OSError where the log or
    the content can't be written; nothing is removed then.
    """
    with opened(place):
        pass
    log = AuditLog(place, key)
    try:
        with log.changing():  # a wrong key is one, whatever there is to remove
            pass
        with ContentStore(content_file(place)).removing(dict.fromkeys(request_ids)) as removed:
            if removed:
                told = audit_pb2.ContentRedacted(request_ids=removed, count=len(removed), reason=reason, author=author)
                log.append([Entry.of_event(event(REDACTED, told))], {})
    finally:
        log.close()
    return removed
