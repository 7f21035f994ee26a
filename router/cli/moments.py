"""Moments, as options take them: an age or a date."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import typer

METAVAR = "AGE|DATE"

_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_MOST_DIGITS = 15


def moment(text: str) -> int:
    """Microseconds since 1970 UTC; what lies before is 0, since there are no logs from then. Raises BadParameter."""
    found = re.fullmatch(rf"(\d{{1,{_MOST_DIGITS}}})([hdw])", text, re.ASCII)
    if found:
        return max(0, time.time_ns() // 1000 - int(found[1]) * _SECONDS[found[2]] * 1_000_000)
    try:
        return max(0, int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1e6))
    except (ValueError, OverflowError):  # the first or the last day that there is, in another zone
        raise typer.BadParameter(f"{text!r} is no age (30d, 12h, 4w) and no date (2026-01-31)") from None
