"""A page of the list: steps that are as wanted, found by looking back from an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triroute.router.audit.store import RecordStore
from triroute.router.errors import Damaged
from triroute.router.ui.view import summary

LOOKED_AT = 2_000  # records, by one request
_BATCH = 250  # read at once, where few may be as wanted


@dataclass(slots=True)
class Page:
    """`next`: the entry before which to look further; None where the log begins."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    damaged: int = 0
    looked_at: int = 0
    next: int | None = None


def look_back(store: RecordStore, before: int | None, limit: int, wanted: Mapping[str, str]) -> Page:
    """The newest `limit` steps as wanted, of those before an entry. Raises NotFound.

    They are in the order of the log, which is that of their ends: a step that began long ago is where it ended.
    """
    page = Page()
    while page.looked_at < LOOKED_AT:
        count = min(_BATCH if wanted else limit + 1, LOOKED_AT - page.looked_at)
        batch = store.before(before, count)
        for one in batch:
            if len(page.steps) == limit:
                page.next = before
                return page
            page.looked_at, before = page.looked_at + 1, one.number
            if isinstance(one.record, Damaged):
                page.damaged += 1
            elif _is_wanted(step := summary(one.record), wanted):
                page.steps.append(step)
        if len(batch) < count:
            return page
    page.next = before
    return page


def _is_wanted(step: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """A step is found by every mode that wrote of it."""
    return all(value in step["modes"] if name == "mode" else step[name] == value for name, value in wanted.items())
