"""Fences of code, as in CommonMark: three or more ` or ~, with anything as language, also in lists and quotes."""

from __future__ import annotations

import copy
import re

from triroute.engine.types import CallEvent, SegmentKind

_OPENING = re.compile(rb"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_CLOSING = re.compile(rb"[ \t>]*(?P<fence>`{3,}|~{3,})[ \t\r]*")
_OPEN_IN_PROMPT = re.compile(rb"(?:^|\n)(?P<line>[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+#.-]+[ \t]*)\r?\n\Z")


class Fence:
    """Code until a fence of the same kind that is at least as long. `fence`: the one that opened it."""

    kinds = (SegmentKind.CODE,)
    opened = None

    def __init__(self, fence: bytes) -> None:
        self._fence = fence
        self._line = b""
        self.calls: list[CallEvent] = []

    def feed(self, data: bytes, token: int) -> bytes | None:
        while True:
            line, newline, data = data.partition(b"\n")
            self._line += line
            if not newline:
                return None
            line, self._line = self._line, b""
            found = _CLOSING.fullmatch(line)
            if found and found["fence"].startswith(self._fence):
                return data

    def copy(self) -> Fence:
        return copy.copy(self)  # it has no calls, ever

    def end(self, token: int) -> None:
        """Nothing to do."""


def fence_in(line: bytes) -> Fence | None:
    """The fence that a whole line opens, if any."""
    found = _OPENING.match(line)
    return Fence(found["fence"]) if found else None


def fence_at_end(prompt: bytes) -> Fence | None:
    """The fence that a prompt's last line opens, if it names a language: without, it may as well close one."""
    found = _OPEN_IN_PROMPT.search(prompt)
    return fence_in(found["line"]) if found else None
