"""The tables of a log in SQLite, and how its files are opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from triroute.router.audit.merkle import HASH_BYTES

VERSION = 3  # of the schema, in the file's user_version; 0 is a new file
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


def open_to_read(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)


def version_of(connection: sqlite3.Connection) -> int:
    """The file's schema version, 0 for a new file. Raises DatabaseError for one that a newer Triroute wrote."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.DatabaseError(f"its schema version is {version}, this Triroute knows {VERSION}; upgrade it")
    return int(version)


def split_peaks(raw: bytes) -> list[bytes]:
    """The hashes in `checkpoint.peaks`."""
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def beside(path: Path, what: str) -> Path:
    """A file that belongs to a log: its `key`, its public key `pub`, its last `checkpoint`."""
    return path.with_name(f"{path.name}.{what}")
