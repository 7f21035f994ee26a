"""Signed checkpoints: how large a log was, and its root then. C2SP's tlog-checkpoint, a note signed with Ed25519."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ED25519 = b"\x01"  # the signature's type, in key ids and verifier keys
_ID_BYTES = 4
_DASH = "\u2014"
_SIGNATURE = re.compile(f"{_DASH} [^\\s+]+ [A-Za-z0-9+/]+=*")


class BadCheckpoint(Exception):
    """A text that is no checkpoint, or none that this key signed. The message says which."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with the name of the log that it signs. As text it is a C2SP verifier key: NAME+ID+KEY."""

    name: str
    key: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Raises BadCheckpoint for what is no such key."""
        try:
            name, id_, key = text.strip().split("+", 2)
            raw = base64.b64decode(key, validate=True)
            found = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        except (ValueError, binascii.Error) as error:
            raise BadCheckpoint(f"{text.strip()[:80]!r} is no public key of a log (NAME+ID+KEY)") from error
        if raw[:1] != _ED25519 or found.id.hex() != id_:
            raise BadCheckpoint(f"the public key of {name} is damaged: its id does not belong to it")
        return found

    @property
    def raw(self) -> bytes:
        return self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.raw).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log of this name had `size` entries, and this root."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, key: Ed25519PrivateKey) -> str:
        """The note. The key's name is the log's."""
        signature = Verifier(self.origin, key.public_key()).id + key.sign(self.body.encode())
        return f"{self.body}\n{_DASH} {self.origin} {base64.b64encode(signature).decode()}\n"


def parse_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The checkpoint in a note, which others may have signed too.

    Raises BadCheckpoint where it has none that this key signed, byte for byte.
    """
    body, _, signatures = note.partition("\n\n")
    lines = body.split("\n")
    try:
        origin, size, root = lines
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error) as error:
        raise BadCheckpoint("this is no checkpoint: it takes a name, a size and a root, each on a line") from error
    if origin != verifier.name:
        raise BadCheckpoint(f"it is of another log, {origin}, and not of {verifier.name}")
    *signed, end = signatures.split("\n")
    whole = note == f"{found.body}\n{signatures}" and not end and all(map(_SIGNATURE.fullmatch, signed))
    if whole and any(_signed(line, found, verifier) for line in signed):
        return found
    raise BadCheckpoint(f"it is not signed by the key of {verifier.name}, or was altered since")


def _signed(line: str, checkpoint: Checkpoint, verifier: Verifier) -> bool:
    dash, _, rest = line.partition(" ")
    name, _, coded = rest.partition(" ")
    try:
        raw = base64.b64decode(coded, validate=True)
        if base64.b64encode(raw).decode() != coded:  # its last character has bits to spare
            return False
        if dash != _DASH or name != verifier.name or raw[:_ID_BYTES] != verifier.id:
            return False
        verifier.key.verify(raw[_ID_BYTES:], checkpoint.body.encode())
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True
