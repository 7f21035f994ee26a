"""The header of a log's file: its first 100 bytes, most of which SQLite itself does not mind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

_LENGTH = 100
_JOURNALS = (b"\1\1", b"\2\2")  # without and with a write-ahead log; a tool may have changed it to copy one file
_SAID = slice(40, 72)  # zeros for as long as all that was written is in the write-ahead log
# Place, bytes and name of what stays as it was made (https://www.sqlite.org/fileformat.html#the_database_header).
_FIXED = (
    (44, b"\0\0\0\4", "schema format"),
    (48, bytes(4), "cache size"),
    (56, b"\0\0\0\1", "text encoding"),
    (68, bytes(4), "application id"),
    (72, bytes(20), "room for expansion"),
)
_PRAGMAS = {"encoding": "UTF-8", "application_id": 0}  # as SQLite reads them, from the write-ahead log, too


def header_damage(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """What is not as Triroute makes it. Raises sqlite3.Error."""
    for name, expected in _PRAGMAS.items():
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != expected:
            yield f"its {name} is {found}"
    try:
        with path.open("rb") as file:
            raw = file.read(_LENGTH)
    except OSError as error:
        yield f"its header can't be read: {error.strerror}"
        return
    if len(raw) < _LENGTH:
        return
    if raw[18:20] not in _JOURNALS:
        yield "its header has another file format version"
    said = any(raw[_SAID])
    for start, expected_bytes, name in _FIXED:
        if (said or start >= _SAID.stop) and raw[start : start + len(expected_bytes)] != expected_bytes:
            yield f"its header has another {name}"
