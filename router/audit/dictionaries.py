"""The dictionaries that bodies were packed with, for who verifies: what fits a body is not always what it was given."""

from __future__ import annotations

from collections.abc import Iterator

from triroute.proto import audit_pb2
from triroute.router.audit.body import DEFLATED, FIRST_DICTIONARY, PLAIN
from triroute.router.audit.database import Session

_MOST = 64  # that a log is given; then entries of other kinds share one, or have none


class Dictionaries:
    """Those of a log. `words` are what they hold, by number."""

    def __init__(self, connection: Session) -> None:
        """Raises `Failures`."""
        rows = connection.execute("SELECT number, name, body FROM dictionary").fetchall()
        rows = [row for row in rows if isinstance(row[0], int)]  # a damaged schema can make it anything
        self.words = {number: words for number, _, words in rows}
        self._names = {number: str(name) for number, name, _ in rows}
        self._shared = max(self.words, default=0) >= FIRST_DICTIONARY + _MOST - 1
        self._met: set[str] = set()  # kinds of entries that were looked at

    def wrong(self, entry: audit_pb2.AuditEntry, packing: object, may_lack: bool) -> str:
        """Why an entry can't have been written with this packing; empty where it can.

        `may_lack`: an entry of its kind may have been written without a dictionary.
        """
        kind = _kind(entry)
        if kind:
            self._met.add(kind)
        name = self._names.get(packing) if isinstance(packing, int) else None
        if packing == PLAIN or (packing == DEFLATED and (not kind or may_lack or self._shared)):
            return ""
        if name is not None and kind and (self._shared or kind in _meant(name)):
            return ""
        return f"it was not written with the packing {packing}" + ("" if name is None else f", of {name!r}")

    def unused(self) -> Iterator[tuple[str, str]]:
        """Where there is one that no entry can have left. For a log from which no bodies were removed."""
        for number, name in self._names.items():
            if not any(kind in self._met for kind in _meant(name)):
                yield f"dictionary {number}", f"there is no entry that it can be for, {name!r}"


def _kind(entry: audit_pb2.AuditEntry) -> str:
    """Of the entries that share a dictionary; empty for one that has none."""
    decision = entry.record.decision
    return f"{decision.policy_revision}/{decision.rule_id}/{decision.step}" if decision.rule_id else ""


def _meant(name: str) -> tuple[str, str]:
    """The kinds of entries that a dictionary of this name can be for; how it was made may stand before."""
    return name, name.partition("/")[2]
