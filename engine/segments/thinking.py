"""Blocks of thinking."""

from __future__ import annotations

import copy
import re

from triroute.engine.types import CallEvent, SegmentKind

CLOSINGS = {
    b"<think>": b"</think>",
    b"<thinking>": b"</thinking>",
    b"<reasoning>": b"</reasoning>",
    b"[THINK]": b"[/THINK]",
}
_OPEN_IN_PROMPT = re.compile(rb"(?P<tag>" + b"|".join(map(re.escape, CLOSINGS)) + rb")\s*\Z")


class Thinking:
    """Everything until the tag that closes it."""

    kinds = (SegmentKind.THINKING,)
    opened = None

    def __init__(self, opening: bytes) -> None:
        self._closing = CLOSINGS[opening]
        self._tail = b""
        self.calls: list[CallEvent] = []

    def feed(self, data: bytes, token: int) -> bytes | None:
        text = self._tail + data
        at = text.find(self._closing)
        if at >= 0:
            return text[at + len(self._closing) :]
        self._tail = text[-len(self._closing) + 1 :]
        return None

    def copy(self) -> Thinking:
        return copy.copy(self)  # it has no calls, ever

    def end(self, token: int) -> None:
        """Nothing to do."""


def thinking_at_end(prompt: bytes) -> Thinking | None:
    """The block that a prompt leaves open, as some chat templates do."""
    found = _OPEN_IN_PROMPT.search(prompt)
    return Thinking(found["tag"]) if found else None
