"""Where in a JSON text a value begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def offset_of(text: str, keys: Iterable[str | int]) -> int:
    """The character that the value begins at which `keys` lead to. `text` is valid JSON, and has such a value."""
    at = _skip(text, 0)
    for key in keys:
        at = _member(text, at, key) if isinstance(key, str) else _item(text, at, key)
    return at


def _member(text: str, at: int, key: str) -> int:
    """The value of an object's key: the last, where the key comes twice."""
    found = at
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if name == key:
            found = at
        at = _after(text, at)
    return found


def _item(text: str, at: int, index: int) -> int:
    at = _skip(text, at + 1)
    for _ in range(index):
        at = _after(text, at)
    return at


def _after(text: str, at: int) -> int:
    """Past a value and the comma behind it."""
    at = _skip(text, _DECODER.raw_decode(text, at)[1])
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
