"""The log, for its writer: entries are appended many at a time, with a signed checkpoint in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from triroute.router.audit.begin import frontier_at, keep_lost, look_back, make, own, publish, replace, row, size_of
from triroute.router.audit.body import FIRST_DICTIONARY, Entry, pack
from triroute.router.audit.checkpoint import Checkpoint
from triroute.router.audit.database import ConnectionLost, DatabaseFailed, Failures, Session, database, put
from triroute.router.audit.key import own_key, read_key
from triroute.router.audit.merkle import Frontier, leaf_hash
from triroute.router.audit.place import Place
from triroute.router.audit.schema import LOG_SINCE, SEGMENT, beside

log = logging.getLogger("triroute.audit")

_MOST_DICTIONARIES = 64


class Sink(Protocol):
    """Where entries go for good."""

    def append(self, entries: Sequence[Entry], kept: Mapping[str, bytes]) -> None:
        """All or nothing; when it returns, they survive the machine. Raises OSError.

        `kept` is all that entries may refer to, by its SHA-256: the sink knows what of it is there.
        """

    def close(self) -> None:
        """Let go of it."""


class AuditLog:
    """A log in a database. Several processes may write to one; each sees what the others appended."""

    def __init__(self, place: Place, key: Path | None = None) -> None:
        """`key` is the file of the signing key, else it is beside the log. Raises PostgresMissing, StartFailed."""
        self.place = place
        self._key_path = key or beside(place, "key")
        self._database = database(place)
        self._session: Session | None = None
        self._frontier = Frontier()
        self._doubt: tuple[int, bytes] | None = None  # size and root of a transaction while it is committed
        self._dictionaries: dict[str, tuple[int, bytes] | None] = {}
        self._kept: set[str] = set()  # what is there

    def append(self, entries: Sequence[Entry], kept: Mapping[str, bytes]) -> None:
        """As `Sink`. Raises OSError, and no other failure of the database.

        On a connection that turns out to be lost, as after a restart of the server, it tries once more at once.
        """
        self._doubt = None
        with self._failing_as_os_error():
            try:
                self._append(entries, kept)
            except ConnectionLost:
                self.close()
                self._append(entries, kept, doubt=self._doubt)

    def close(self) -> None:
        """Another append opens it again."""
        if self._session is not None:
            self._session.close()
        self._session = None

    @contextmanager
    def changing(self) -> Iterator[Session]:
        """A transaction of its own. What is removed in it leaves as little trace as can be. Raises OSError."""
        with self._failing_as_os_error():
            session = self._open()
            session.remove()
            with session.transaction():
                yield session

    def compact(self) -> bool:
        """Overwrite what was removed, and give its room back; False where others at work on the log keep us from it."""
        try:
            return self._open().compact()
        except Failures as error:
            log.warning("what was removed from %s is not overwritten yet: %s", self.place, error)
            return False

    @contextmanager
    def _failing_as_os_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, Failures):
                raise OSError(str(error)) from error
            raise

    def _append(
        self,
        entries: Sequence[Entry],
        kept: Mapping[str, bytes],
        doubt: tuple[int, bytes] | None = None,
    ) -> None:
        """`doubt`: these entries are there already, if the log has this size and root."""
        session = self._open()
        with session.transaction():
            frontier = self._catch_up(session)
            if doubt is None or not _has_grown_to(session, frontier.size, doubt):
                self._add(session, frontier, entries, kept)
            note = self._note(frontier)
            put(
                session,
                "INSERT INTO checkpoint (segment, size, note, peaks) VALUES (?, ?, ?, ?) ON CONFLICT (segment)"
                " DO UPDATE SET size = excluded.size, note = excluded.note, peaks = excluded.peaks",
                ((frontier.size - 1) // SEGMENT, frontier.size, note, b"".join(frontier.peaks)),
            )
            self._doubt = frontier.size, frontier.root()
        self._frontier, self._doubt = frontier, None
        self._kept.update(kept)
        self._publish(note)

    def _add(self, session: Session, frontier: Frontier, entries: Sequence[Entry], kept: Mapping[str, bytes]) -> None:
        for sha256 in kept.keys() - self._kept:  # a vocabulary takes a while to pack: only where it is new
            if session.execute("SELECT 1 FROM kept WHERE sha256 = ?", (sha256,)).fetchone() is None:
                put(session, "INSERT INTO kept (sha256, packing, body) VALUES (?, ?, ?)", (sha256, *pack(kept[sha256])))
        start, rows = frontier.size, list[tuple[Any, ...]]()
        for entry in entries:
            rows.append(row(frontier.size, entry, self._dictionary(session, entry)))
            frontier.append(leaf_hash(entry.canonical))
        session.executemany(
            "INSERT INTO entry (number, leaf, at_us, request_id, trace_id, packing, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        _look_again(session, start, rows)

    def _catch_up(self, connection: Session) -> Frontier:
        """The tree of all entries, those of other processes with it. Dictionaries, too, may be others since."""
        self._dictionaries = {}
        size = size_of(connection)
        if size < self._frontier.size:
            keep_lost(self.place, f"it had {self._frontier.size} entries, and has {size}")
            self._kept = set()
        return self._frontier.copy() if size == self._frontier.size else frontier_at(connection, size)

    def _dictionary(self, connection: Session, entry: Entry) -> tuple[int, bytes] | None:
        """What entries of its kind are packed with; the first one of a kind leaves it."""
        if entry.template is None:
            return None
        name, words = entry.template
        if name not in self._dictionaries:
            self._dictionaries[name] = _find_or_add(connection, name, words)
        return self._dictionaries[name]

    def _open(self) -> Session:
        """The connection, while it writes to the log that is there."""
        if self._session is not None and self._session.is_current():
            return self._session
        self.close()
        session = self._session = self._database.write()
        self._frontier, self._dictionaries, self._kept = Frontier(), {}, set()
        with session.transaction():
            version = session.version()
            self._key = own_key(self._key_path) if version < LOG_SINCE else read_key(self._key_path)
            if version < LOG_SINCE:
                make(session, version, self._key)
            self._verifier = own(session, self.place, self._key, self._key_path)
            first = look_back(session, self.place, self._verifier)
        if first:
            self._begin_beside(session)
        try:
            publish(self.place, self._verifier)
        except OSError as error:  # the log has it, too
            log.error("the public key beside %s can't be written: %s", self.place, error)
        return session

    def _begin_beside(self, session: Session) -> None:
        """A first checkpoint beside the log, before it grows here: from now on it is missed where it is gone."""
        with session.transaction():
            if not beside(self.place, "checkpoint").exists():
                self._publish(self._note(frontier_at(session, size_of(session))))

    def _note(self, frontier: Frontier) -> str:
        """A signed checkpoint."""
        return Checkpoint(self._verifier.name, frontier.size, frontier.root()).sign(self._key)

    def _publish(self, note: str) -> None:
        try:
            replace(beside(self.place, "checkpoint"), note)
        except OSError as error:  # what was to be kept is kept
            log.error("the checkpoint beside %s can't be written: %s", self.place, error)


def _look_again(session: Session, start: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """Raises `Failures` where a trigger or a rule has kept entries from the table, or altered them."""
    found = session.execute(
        "SELECT number, leaf, packing, length(body) FROM entry WHERE number >= ? ORDER BY number", (start,)
    ).fetchall()
    if found != [(number, leaf, packing, len(body)) for number, leaf, *_, packing, body in rows]:
        raise DatabaseFailed(f"it did not take the entries from {start} on; `triroute audit verify` says what is wrong")


def _has_grown_to(session: Session, size: int, doubt: tuple[int, bytes]) -> bool:
    then, root = doubt
    return size >= then and frontier_at(session, then).root() == root


def _find_or_add(connection: Session, name: str, words: bytes) -> tuple[int, bytes] | None:
    """The dictionary of this name; None where there are too many."""
    found: tuple[int, bytes] | None = connection.execute(
        "SELECT number, body FROM dictionary WHERE name = ?", (name,)
    ).fetchone()
    if found is not None:
        return found
    count, last = connection.execute("SELECT count(*), max(number) FROM dictionary").fetchone()
    if count >= _MOST_DICTIONARIES:
        return None
    number = last + 1 if count else FIRST_DICTIONARY
    put(connection, "INSERT INTO dictionary (number, name, body) VALUES (?, ?, ?)", (number, name, words))
    return number, words
