"""`triroute audit prune`: retention."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.audit.prune import prune as prune_log
from triroute.router.cli.moments import METAVAR, moment
from triroute.router.cli.options import DEFAULTS, AuditKey, Records
from triroute.router.cli.screen import line
from triroute.router.errors import AuditUnavailable


def prune(
    before: Annotated[
        int | None,
        typer.Option(
            parser=moment, metavar=METAVAR, help="What is older than this: 30d, 12h, 4w, or a date as 2026-01-31."
        ),
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="All but the newest so many entries.")] = None,
    records: Records = DEFAULTS.records,
    audit_key: AuditKey = None,
) -> None:
    """Remove what old entries say. Their hashes stay, so that `verify` and proofs still hold; the log tells of it."""
    if (before is None) == (keep is None):
        raise typer.BadParameter("give one of --before and --keep", param_hint="--before")
    try:
        told = prune_log(records, audit_key, before_us=before, keep=keep)
    except OSError as error:
        raise AuditUnavailable(f"{records} can't be written: {error}") from error
    if told.bodies:
        line(f"removed the bodies of {told.bodies} entries: all before entry {told.before}")
    else:
        line(f"nothing to remove from {escape(str(records))}: bodies go in whole segments of 1,024 entries")
    if not told.overwritten:
        line(
            "[yellow]not overwritten yet[/yellow]: others are reading the log, and what was removed may be in its file"
            " until they let go of it. Run this again then, also where nothing is left to remove"
        )
