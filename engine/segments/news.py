"""What becomes known of tool calls as they are written: their names, pieces of arguments, whole calls, broken ones."""

from __future__ import annotations

import codecs

from triroute.engine.types import BrokenCall, CallEvent, CallPiece, WrittenCall

_DECODER = codecs.getincrementaldecoder("utf-8")


class News:
    """Adds to `calls`. A call is told piece by piece from `begin` to `close`; what was not, is told whole by `end`."""

    def __init__(self, calls: list[CallEvent]) -> None:
        self.calls = calls
        self.begun = False  # a call whose name was told, and whose end was not
        self._name = self._arguments = ""
        self._start = 0
        self._at = -1  # in the text: the next piece of arguments; -1 outside of them
        self._decoder = _DECODER("replace")

    def begin(self, name: str, at: int, end: int) -> None:
        """A call's name is known, and its arguments begin there."""
        self.begun, self._name, self._start, self._at, self._decoder = True, _sound(name), at, at, _DECODER("replace")
        self.calls.append(CallPiece(self._name, "", end))

    def more(self, text: bytearray, upto: int, end: int) -> None:
        """The text has come so far, and arguments with it, maybe."""
        if self._at >= 0:
            piece = self._decoder.decode(text[self._at : upto])
            self._at = upto
            if piece:
                self.calls.append(CallPiece("", piece, end))

    def close(self, text: bytearray, upto: int, end: int) -> None:
        """The arguments end there."""
        if self._at >= 0:
            self.more(text, upto, end)
            self._at, self._arguments = -1, text[self._start : upto].decode("utf-8", errors="replace")

    def end(self, call: tuple[str, str] | None, first: int, end: int) -> bool:
        """A call is over. False where it can't be read, or not as it was told."""
        if call is None:
            return False
        name, arguments = map(_sound, call)
        if not self.begun:
            self.calls.append(CallPiece(name, arguments, end))
        elif (name, arguments) != (self._name, self._arguments):
            return False
        self.begun = False
        self.calls.append(WrittenCall(name, arguments, first, end))
        return True

    def broken(self, first: int, end: int) -> None:
        """What was opened at that token can't be read."""
        self.begun, self._at = False, -1
        self.calls.append(BrokenCall(first, end))


def _sound(text: str) -> str:
    """Unicode text: escapes may have made it none."""
    return text.encode("utf-8", errors="replace").decode()
