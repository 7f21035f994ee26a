"""`triroute audit prune`: retention."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.audit.prune import prune as prune_log
from triroute.router.cli.options import DEFAULTS, AuditKey, Records
from triroute.router.cli.screen import line
from triroute.router.errors import AuditUnavailable

_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}


def prune(
    before: Annotated[
        str | None, typer.Option(help="What is older than this: 30d, 12h, 4w, or a date as 2026-01-31.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="All but the newest so many entries.")] = None,
    records: Records = DEFAULTS.records,
    audit_key: AuditKey = None,
) -> None:
    """Remove what old entries say. Their hashes stay, so that `verify` and proofs still hold; the log tells of it."""
    if (before is None) == (keep is None):
        raise typer.BadParameter("give one of --before and --keep", param_hint="--before")
    try:
        told = prune_log(records, audit_key, before_us=None if before is None else when(before), keep=keep)
    except OSError as error:
        raise AuditUnavailable(f"{records} can't be written: {error}") from error
    if told.bodies:
        line(f"removed the bodies of {told.bodies} entries: all before entry {told.before}")
    else:
        line(f"nothing to remove from {escape(str(records))}: bodies go in whole segments of 1,024 entries")


def when(text: str) -> int:
    """Microseconds since 1970 UTC."""
    found = re.fullmatch(r"(\d+)([hdw])", text)
    if found:
        return time.time_ns() // 1000 - int(found[1]) * _SECONDS[found[2]] * 1_000_000
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1e6)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no age (30d, 12h, 4w) and no date", param_hint="--before") from None
