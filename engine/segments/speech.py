"""What of an output's text is outside of tool calls."""

from __future__ import annotations

import codecs

from triroute.engine.types import Stretch

_DECODER = codecs.getincrementaldecoder("utf-8")


class Speech:
    """Told once it is certain, in order. What was opened as a call and can't be read is speech as well, blanks around
    calls are not.

    Places count what tokens say, names of control tokens included; stretches count characters of the text, which has
    no such names.
    """

    def __init__(self) -> None:
        self._said = 0
        self._place = 0  # what comes from here on is not decided
        self._held = bytearray()  # the text from there on
        self._names: list[tuple[int, int]] = []  # of control tokens: from and to
        self._characters = 0  # before it
        self._decoder = _DECODER("replace")
        self._call = -1  # where one opened; -1 outside
        self._silent = True  # nothing but blanks since the beginning, or since a call
        self._called = False
        self._told: list[Stretch] = []

    def push(self, text: bytes, said: int) -> None:
        """A token says so many bytes: its text, or its name where it has none."""
        self._held += text
        if not text and said:
            self._names.append((self._said, self._said + said))
        self._said += said

    def open(self, back: int) -> None:
        """A call's opening begins so many bytes ago."""
        self._call = self._said - back
        self._speak(self._call)
        self._pass(self._call)

    def close(self, back: int, *, speech: bool) -> None:
        """It ended so many bytes ago; whether it is speech after all."""
        end, self._call = self._said - back, -1
        if speech:
            self._speak(end)
            return
        self._pass(end)
        self._silent = self._called = True

    def take(self, undecided: int) -> tuple[Stretch, ...]:
        """What is known by now and was not told. So many bytes at the end may still become an opening."""
        self._speak(self._call if self._call >= 0 else self._said - undecided)
        told, self._told = tuple(self._told), []
        return told

    def end(self, *, speech: bool) -> None:
        """The output is over: everything is known. `speech`: as in `close`, of the call that is open."""
        if self._call >= 0:
            self.close(0, speech=speech)
            if not speech:
                return
        self._silent = self._silent and self._called
        self._speak(self._said)
        if self._place == self._said and self._decoder.decode(b"", final=True):  # a character that broke off
            self._tell(self._characters, self._characters + 1)

    def _speak(self, upto: int) -> None:
        if self._silent and not self._held[: self._length(upto)].strip():
            return
        self._silent = False
        start = self._characters
        self._pass(upto)
        if self._characters > start:
            self._tell(start, self._characters)

    def _tell(self, start: int, end: int) -> None:
        if self._told and self._told[-1][1] == start:
            start = self._told.pop()[0]
        self._told.append((start, end))

    def _pass(self, upto: int) -> None:
        """Decide what comes before."""
        length = self._length(upto)
        self._characters += len(self._decoder.decode(self._held[:length]))
        del self._held[:length]
        self._names = [name for name in self._names if name[1] > upto]
        self._place = upto

    def _length(self, upto: int) -> int:
        """Bytes of text up to a place."""
        names = sum(min(end, upto) - max(start, self._place) for start, end in self._names if start < upto)
        return upto - self._place - names
