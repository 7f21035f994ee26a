"""Which side of a canary a key is on: the same on every router, for as long as the candidate is the same."""

from __future__ import annotations

import hashlib

_SPAN = 2**64


def position(revision: str, key: str) -> float:
    """In [0, 100), even over keys, unrelated for another candidate: the first 8 bytes of SHA-256("REVISION:KEY")."""
    first = hashlib.sha256(f"{revision}:{key}".encode(errors="replace")).digest()[:8]
    return 100 * (int.from_bytes(first, "big") / _SPAN)


def is_in(revision: str, key: str, percent: float) -> bool:
    """Whether the candidate decides for the key. More percent only adds keys."""
    return percent >= 100 or position(revision, key) < percent
