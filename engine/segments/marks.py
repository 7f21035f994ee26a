"""The first of some marks in a text that is still coming."""

from __future__ import annotations

import re


class Marks:
    """No mark is part of another one."""

    def __init__(self, *marks: bytes) -> None:
        self._pattern = re.compile(b"|".join(map(re.escape, marks)))
        self._held = max(map(len, marks)) - 1  # bytes at the end that may be the beginning of one

    def find(self, text: bytearray, at: int) -> tuple[bytes, int]:
        """The first from `at` on, and where it begins; else nothing, and where to look again when there is more."""
        found = self._pattern.search(text, at)
        return (found.group(), found.start()) if found else (b"", max(at, len(text) - self._held))
