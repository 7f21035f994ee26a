"""The part of an output that is for people: its text outside of tool calls, as the engine tells which that is."""

from __future__ import annotations

from collections.abc import Iterable

from triroute.proto import engine_pb2


class Speech:
    """Of one output. Places count its characters."""

    def __init__(self) -> None:
        self.at = 0  # what comes before is given out, or is of a call
        self.known: list[tuple[int, int]] = []
        self._text = ""  # from `at` on

    def take(self, text: str, stretches: Iterable[engine_pb2.Stretch]) -> str:
        """More text, and more of what is outside; what can be given out now."""
        self._text += text
        self.known += [(one.start, one.end) for one in stretches]
        came, given = self.at + len(self._text), ""
        for start, end in self._ahead():
            start, end = max(start, self.at), min(end, came)
            if start < end:
                given += self._text[start - self.at : end - self.at]
                self._text, self.at = self._text[end - self.at :], end
        return given

    def cut(self, known: int, at: int, text: str) -> None:
        """Go back to when `known` had so many entries, and `at` was this; `text` is the output then."""
        del self.known[known:]
        self.at, self._text = at, text[at:]

    def _ahead(self) -> list[tuple[int, int]]:
        """Those of `known` that end behind `at`: few, at the end."""
        first = len(self.known)
        while first and self.known[first - 1][1] > self.at:
            first -= 1
        return self.known[first:]
