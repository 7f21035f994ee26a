"""The tables of a log, as SQLite has them, and the files beside it."""

from __future__ import annotations

import glob
from pathlib import Path

from triroute.router.audit.merkle import HASH_BYTES
from triroute.router.audit.place import Place
from triroute.router.settings import home

VERSION = 3  # of the tables; 0 where there are none
LOG_SINCE = 3  # before, a file held records without a log
KEEPS_SINCE = 2  # since then there is the table `kept`
SEGMENT = 1024  # entries; the newest checkpoint of each stays, and bodies are removed in segments

# `entry.number` is the index of the leaf. `packing` says how `body` is stored; both are NULL once the body is removed.
# `at_us`, `request_id` and `trace_id` repeat what the body says, to be found by. Checkpoints: the newest of each
# segment of entries; `peaks` are the full subtrees then. Triggers are against accidents: proofs are against the rest.
SCHEMA = """
CREATE TABLE log (one INTEGER PRIMARY KEY CHECK (one = 1), key TEXT NOT NULL);
CREATE TABLE entry (
    number INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL,
    at_us INTEGER,
    request_id TEXT,
    trace_id TEXT,
    packing INTEGER,
    body BLOB
);
CREATE INDEX entry_request ON entry (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX entry_trace ON entry (trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE dictionary (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE checkpoint (segment INTEGER PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL, peaks BLOB NOT NULL);
CREATE TRIGGER entry_added BEFORE INSERT ON entry
    WHEN NEW.number IS NOT (SELECT coalesce(max(number) + 1, 0) FROM entry)
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_stays BEFORE UPDATE ON entry
    WHEN NEW.number IS NOT OLD.number OR NEW.leaf IS NOT OLD.leaf OR NEW.body IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TABLE kept (sha256 TEXT PRIMARY KEY, packing INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TRIGGER kept_stays BEFORE UPDATE ON kept BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER kept_kept BEFORE DELETE ON kept BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


def split_peaks(raw: bytes) -> list[bytes]:
    """The hashes in `checkpoint.peaks`."""
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


GONE = "no checkpoint"  # in place of one that a writer found gone
_BESIDE = ("key", "pub", "checkpoint", "content")
_OF_A_DATABASE = ("", "-wal", "-shm", "-journal")


def belongs(place: Place, file: Path) -> bool:
    """Whether a file is the log, or one beside it, by whatever name; also where it is not there yet."""
    names = [beside(place, what) for what in _BESIDE]
    databases = [beside(place, "content"), *([place] if isinstance(place, Path) else [])]
    names += [database.with_name(database.name + ending) for database in databases for ending in _OF_A_DATABASE]
    names += names[0].parent.glob(f"{glob.escape(place.name)}.*.lost-*")
    return any(_same(name, file) for name in names)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.resolve() == other.resolve()


def beside(place: Place, what: str) -> Path:
    """A file that belongs to a log: its `key`, its public key `pub`, its last `checkpoint`, captured `content`."""
    folder, name = (place.parent, place.name) if isinstance(place, Path) else (home() / "postgres", place.name)
    return folder / f"{name}.{what}"
