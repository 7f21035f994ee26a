"""`triroute audit redact`: captured requests are removed for good."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.capture.redact import find
from triroute.router.capture.redact import redact as redact_captured
from triroute.router.cli.options import DEFAULTS, AuditKey, Records
from triroute.router.cli.screen import line
from triroute.router.errors import AuditUnavailable


def redact(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Trace or request ids, or their beginnings; whole, of pruned records.",
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; the log keeps it.")],
    author: Annotated[str, typer.Option(help="Who; the log keeps it.", show_default="you")] = "",
    records: Records = DEFAULTS.records,
    audit_key: AuditKey = None,
) -> None:
    """Remove what was captured of steps. Their records stay as they are and still verify; the log tells of it."""
    ids = list(dict.fromkeys(find(records, one) for one in wanted))
    try:
        removed = redact_captured(records, audit_key, ids, reason, author or getpass.getuser())
    except OSError as error:
        raise AuditUnavailable(f"nothing was removed of what {records} captured: {error}") from error
    for one in ids:
        line(f"{escape(one)}: {'removed' if one in removed else 'there was nothing (any more)'}")
