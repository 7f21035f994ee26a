"""The content store: requests that a policy has captured, in a file beside the log, so that they can be removed.

The log's record has a salted digest of the request and stays as it is; what is here can be redacted, or grow old. With
a key each request is sealed (AES-256-GCM, NIST SP 800-38D; its request id is authenticated with it).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from triroute.proto import router_pb2
from triroute.router.audit.place import Place
from triroute.router.audit.schema import beside
from triroute.router.errors import NotFound, StartFailed

_VERSION = 1  # in the file's user_version
_SCHEMA = """
CREATE TABLE IF NOT EXISTS content (
    request_id TEXT PRIMARY KEY, at_us INTEGER NOT NULL, key_id TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS content_age ON content (at_us);
"""
_KEY_BYTES, _NONCE_BYTES, _KEY_ID_DIGITS = 32, 12, 16
_BUSY_SECONDS = 5
_DAY_US = 86_400_000_000


class ContentGone(NotFound):
    """There is no such request in the store."""


class Seal:
    """Seals with a key, or not at all. `key_id` names the key without telling it; it is empty without one."""

    def __init__(self, key: bytes = b"") -> None:
        self.key_id = hashlib.sha256(key).hexdigest()[:_KEY_ID_DIGITS] if key else ""
        self._cipher = AESGCM(key) if key else None

    @classmethod
    def of(cls, file: Path | None) -> Seal:
        """By the key in a file: 32 bytes in base64. Raises StartFailed."""
        if file is None:
            return cls()
        make = f"make one with `head -c {_KEY_BYTES} /dev/urandom | base64 > {file}`"
        try:
            key = base64.b64decode(file.read_text(encoding="ascii").strip(), validate=True)
        except OSError as error:
            raise StartFailed(f"the capture key {file} can't be read: {error.strerror}; {make}") from error
        except (ValueError, binascii.Error) as error:
            raise StartFailed(f"{file} is no capture key: it is not base64; {make}") from error
        if len(key) != _KEY_BYTES:
            raise StartFailed(f"{file} is no capture key: it has {len(key)} bytes and not {_KEY_BYTES}; {make}")
        return cls(key)

    def close(self, request_id: str, body: bytes) -> bytes:
        """Sealed, with its nonce before it."""
        if self._cipher is None:
            return body
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, body, request_id.encode())

    def open(self, request_id: str, sealed: bytes, key_id: str) -> bytes:
        """The body again. Raises NotFound where this is not the key, or the bytes were altered."""
        if not key_id:
            return sealed
        if self._cipher is None or key_id != self.key_id:
            raise NotFound(f"the content of {request_id} is sealed with key {key_id}; give its file with --capture-key")
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], request_id.encode())
        except InvalidTag:
            raise NotFound(f"the content of {request_id} was altered: its seal is broken") from None


class Captured(NamedTuple):
    """A request, and the salt of its hash in the record: once both are gone, the hash tells nothing any more."""

    request: router_pb2.GenerateRequest
    salt: bytes


def content_file(records: Place) -> Path:
    """Where the content of the steps in a log is kept."""
    return beside(records, "content")


class ContentStore:
    """Requests by id. Each call opens the file: captures are rare, and any thread may call."""

    def __init__(self, path: Path, seal: Seal | None = None) -> None:
        self.path = path
        self.seal = seal or Seal()

    def put(self, request_id: str, captured: Captured) -> None:
        """Keep a request. Raises OSError."""
        packed = zlib.compress(captured.request.SerializeToString(deterministic=True))
        body = self.seal.close(request_id, bytes([len(captured.salt)]) + captured.salt + packed)
        values = (request_id, time.time_ns() // 1000, self.seal.key_id, body)
        with self._changing() as connection:
            connection.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", values)

    def get(self, request_id: str) -> Captured:
        """Raises ContentGone where it was not captured, was redacted or grew old, NotFound where it can't be opened."""
        found = self._row(request_id)
        if found is None:
            raise ContentGone(
                f"the content of {request_id} is not in {self.path}: it was not captured, was redacted, or grew old"
            )
        key_id, sealed = found
        body = self.seal.open(request_id, sealed, key_id)
        try:
            salt, packed = body[1 : 1 + body[0]], body[1 + body[0] :]
            return Captured(router_pb2.GenerateRequest.FromString(zlib.decompress(packed)), salt)
        except (zlib.error, ValueError, IndexError) as error:
            raise NotFound(f"the content of {request_id} is damaged: {error}") from error

    def holds(self, request_id: str) -> bool:
        """Whether it is there, opened or sealed. Raises NotFound for what is no content store."""
        return self._row(request_id) is not None

    @contextmanager
    def removing(self, request_ids: Iterable[str]) -> Iterator[list[str]]:
        """Removes requests for good, at the end of the block, and none if it raises; says which of them are there.

        Raises OSError.
        """
        if not self.path.exists():
            yield []
            return
        with self._changing() as connection:
            yield [
                one
                for one in request_ids
                if connection.execute("DELETE FROM content WHERE request_id = ?", (one,)).rowcount
            ]

    def older(self, days: float, most: int) -> list[str]:
        """The ids of what is older, the oldest first and so many at most. Raises OSError."""
        if not self.path.exists():
            return []
        with self._changing() as connection:
            oldest = int(max(0.0, time.time_ns() / 1000 - days * _DAY_US))
            rows = connection.execute(
                "SELECT request_id FROM content WHERE at_us < ? ORDER BY at_us LIMIT ?", (oldest, most)
            )
            return [request_id for (request_id,) in rows]

    def remove(self, request_ids: Iterable[str]) -> int:
        """Remove requests for good; how many were there. Raises OSError."""
        with self.removing(request_ids) as removed:
            return len(removed)

    def _row(self, request_id: str) -> tuple[str, bytes] | None:
        if not self.path.exists():
            return None
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                found: tuple[str, bytes] | None = connection.execute(
                    "SELECT key_id, body FROM content WHERE request_id = ?", (request_id,)
                ).fetchone()
        except sqlite3.Error as error:
            raise NotFound(f"{self.path} can't be read as a content store: {error}") from error
        return found

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction. What it deletes is overwritten in the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version > _VERSION:
                    raise OSError(f"{self.path} is of a newer Triroute; upgrade")
                if version < _VERSION:
                    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
