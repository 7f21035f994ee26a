"""The key that signs checkpoints: made on first use, readable by its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key


class BadKey(OSError):
    """A file that should hold the key, and does not."""


def own_key(path: Path) -> Ed25519PrivateKey:
    """The key in this file; a new one where there is no file. Raises OSError, also for a file that holds another."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(own, path)  # another process may have made one meanwhile: the first stays
    except FileExistsError:
        pass
    finally:
        own.unlink()
    return _read(path)


def read_key(path: Path) -> Ed25519PrivateKey:
    """The key of a log that there is. Raises OSError for a file that is gone, or holds no such key."""
    if not path.exists():
        raise BadKey(
            f"{path}, the key that signs this log, is gone; bring it back, or name another place to begin another log"
        )
    return _read(path)


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadKey(f"{path} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{path} holds a key that is not Ed25519")
    return key
