"""The dictionaries that bodies were packed with, for who verifies: what fits a body is not always what it was given."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator

from google.protobuf.message import DecodeError

from triroute.proto import audit_pb2, router_pb2
from triroute.router.audit.body import DEFLATED, FIRST_DICTIONARY, PLAIN, words_left_by
from triroute.router.audit.database import Session

_MOST = 64  # that a log is given; then entries of other kinds share one, or have none
_TRIES = 32  # of entries that may have left a dictionary, and are not packed with it
_BEFORE = "2/"  # names began with it for a while


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
        self._tried: Counter[tuple[str, object]] = Counter()  # of a kind with a packing
        self._left: set[int] = set()  # dictionaries that an entry has left as they are

    def wrong(self, entry: audit_pb2.AuditEntry, packing: object, may_lack: bool) -> str:
        """Why an entry can't have been written with this packing; empty where it can.

        `may_lack`: an entry of its kind may have been written without a dictionary.
        """
        kind = _kind(entry)
        if kind:
            self._met.add(kind)
            self._look(entry.record, kind, packing)
        name = self._names.get(packing) if isinstance(packing, int) else None
        if packing == PLAIN or (packing == DEFLATED and (not kind or may_lack or self._shared)):
            return ""
        if name is not None and kind and (self._shared or kind == _meant(name)):
            return ""
        return f"it was not written with the packing {packing}" + ("" if name is None else f", of {name!r}")

    def _look(self, record: router_pb2.Record, kind: str, packing: object) -> None:
        """The first entry that is packed with a dictionary left it, or one before that takes less room as it is."""
        tried = self._tried[kind, packing]
        if tried >= (_TRIES if packing == PLAIN else 1) or packing == DEFLATED:
            return
        self._tried[kind, packing] = tried + 1
        left = words_left_by(record), words_left_earlier_by(record)
        for number, words in self.words.items():
            may_be = packing in (number, PLAIN) and _meant(self._names[number]) == kind
            if may_be and any(_same(words, made) for made in left):
                self._left.add(number)

    def unknown(self, told: Collection[bytes]) -> Iterator[tuple[str, str]]:
        """Where there is one that no entry has left, nor an entry about a removal told of by its digest."""
        for number, name in self._names.items():
            if number in self._left or digest(name, self.words[number]) in told:
                continue
            if _meant(name) in self._met:
                yield f"dictionary {number}", f"it is not the one that the first entry of {name!r} left"
            else:
                yield f"dictionary {number}", f"there is no entry that it can be for, {name!r}"


def digest(name: str, words: object) -> bytes:
    """By which the log tells of a dictionary that outlives the entry that it came from."""
    return hashlib.sha256(name.encode(errors="replace") + b"\0" + (words if isinstance(words, bytes) else b"")).digest()


def _kind(entry: audit_pb2.AuditEntry) -> str:
    """Of the entries that share a dictionary; empty for one that has none."""
    decision = entry.record.decision
    return f"{decision.policy_revision}/{decision.rule_id}/{decision.step}" if decision.rule_id else ""


def _meant(name: str) -> str:
    """The kind of entries that a dictionary of this name is for."""
    return name.removeprefix(_BEFORE)


def _same(words: object, made: bytes) -> bool:
    """Whether a dictionary is this one; another version of protobuf may have written its fields in another order."""
    if words == made or not isinstance(words, bytes) or len(words) != len(made):
        return words == made
    try:
        return router_pb2.Record.FromString(words) == router_pb2.Record.FromString(made)
    except DecodeError:
        return False


def words_left_earlier_by(small: router_pb2.Record) -> bytes:
    """What a record left in the first logs."""
    shared = router_pb2.Record(
        decision=small.decision,
        finish=small.finish if small.HasField("finish") else None,
        model=small.model,
        features=small.features if small.HasField("features") else None,
        engine_sha256=small.engine_sha256,
        vocabulary_sha256=small.vocabulary_sha256,
        framework=small.framework,
    )
    for name in ("request_id", "trace_id", "held"):
        shared.decision.ClearField(name)
    for name in ("tenant", "tags", "hints", "tool_names"):
        shared.features.ClearField(name)  # type: ignore[arg-type]
    for name in ("tool_calls", "escalations", "check"):
        shared.finish.ClearField(name)  # type: ignore[arg-type]
    return shared.SerializeToString(deterministic=True)
