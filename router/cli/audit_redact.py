"""`triroute audit redact`: captured requests are removed for good."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.markup import escape

from triroute.proto import audit_pb2
from triroute.router.audit.body import Entry
from triroute.router.audit.events import REDACTED, event
from triroute.router.audit.log import AuditLog
from triroute.router.audit.store import RecordStore
from triroute.router.capture.content import ContentStore, content_file
from triroute.router.cli.options import DEFAULTS, AuditKey, Records
from triroute.router.cli.screen import line
from triroute.router.errors import AuditUnavailable


def redact(
    wanted: Annotated[list[str], typer.Argument(metavar="ID...", help="Trace or request ids, or their beginnings.")],
    reason: Annotated[str, typer.Option(help="Why; the log keeps it.")],
    author: Annotated[str, typer.Option(help="Who; the log keeps it.", show_default="you")] = "",
    records: Records = DEFAULTS.records,
    audit_key: AuditKey = None,
) -> None:
    """Remove what was captured of steps. Their records stay as they are and still verify; the log tells of it."""
    store = RecordStore(records)
    ids = [store.find(one).request_id for one in wanted]
    told = audit_pb2.ContentRedacted(request_ids=ids, count=len(ids), reason=reason, author=author or getpass.getuser())
    log = AuditLog(records, audit_key)
    try:
        removed = ContentStore(content_file(records)).redact(ids)
        log.append([Entry.of_event(event(REDACTED, told))], {})
    except OSError as error:
        raise AuditUnavailable(f"{records} can't be written: {error}") from error
    finally:
        log.close()
    for one in ids:
        line(f"{escape(one)}: {'removed' if one in removed else 'there was nothing (any more)'}")
