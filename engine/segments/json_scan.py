"""A JSON text as it comes: how deep it stands, and inside which string."""

from __future__ import annotations

import re

from triroute.engine.segments.part import CODE_NAMES

_OUTSIDE = re.compile(rb'["{}\[\]:,<]')
_INSIDE = re.compile(rb'["\\]')
_LONGEST_NAME = 32


class JsonScan:
    """Follows one value. Not a validator: what is no JSON is passed over, but for `<`, which JSON can't have there."""

    def __init__(self) -> None:
        self.depth = 0
        self.in_code = False  # in a string whose name says that it holds code
        self._in_string = self._escaped = self._names = False  # `_names`: a colon came last
        self._string = b""
        self._name = b""

    def feed(self, text: bytes | bytearray, at: int) -> tuple[int, int]:
        """Go on from `at`, to the next bracket outside of strings. Where it stands then, and the bracket, 0 for none.

        It stands after a bracket, but on a `<`.
        """
        while at < len(text):
            if self._in_string:
                at = self._inside(text, at)
                continue
            found = _OUTSIDE.search(text, at)
            if found is None:
                break
            at, mark = found.end(), found.group()
            if mark == b'"':
                self._in_string, self._string = True, b""
                self.in_code = self._names and self._name in CODE_NAMES
            elif mark in b":,":
                self._name, self._names = (self._string, True) if mark == b":" else (b"", False)
            elif mark == b"<":
                return at - 1, mark[0]
            else:
                self.depth += 1 if mark in b"{[" else -1
                self._names = False
                return at, mark[0]
        return len(text), 0

    def _inside(self, text: bytes | bytearray, at: int) -> int:
        """Through a string."""
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _INSIDE.search(text, at)
        end = found.start() if found else len(text)
        self._string = (self._string + text[at : min(end, at + _LONGEST_NAME)])[:_LONGEST_NAME]
        if found is None:
            return end
        if found.group() == b"\\":
            self._escaped = True
        else:
            self._in_string = self.in_code = False
        return end + 1
