"""Recorded traffic, for the commands that look at it."""

from __future__ import annotations

from typing import Annotated

import typer

from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.cli.options import DEFAULTS, MOST_ROWS
from triroute.router.errors import NotFound
from triroute.router.policy.traffic import Traffic, read_traffic

MOST = 10_000

Last = Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="The newest records to look at, at most.")]


def traffic_of(records: Place = DEFAULTS.records, last: int = MOST) -> Traffic:
    """The newest records. Raises NotFound where there are none that can be decided again."""
    found = read_traffic(RecordStore(records), last)
    if not found.steps:
        old = f"; {found.left_out} there are of an older version, and hold no features" if found.left_out else ""
        raise NotFound(f"no records in {records} that can be decided again{old}; let a service take some traffic first")
    return found


def about(found: Traffic) -> str:
    """What was looked at, and what was not, in words."""
    words = [f"{len(found.steps):,} recorded steps"]
    if found.left_out:
        words.append(f"{found.left_out:,} of an older version are left out, since they hold no features")
    return "; ".join(words)
