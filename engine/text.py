"""Tokens to text, as they come: only what can't change any more is let out."""

from __future__ import annotations

import codecs
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from triroute.engine.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Emission:
    """Final text; how many of the pushed tokens belong to the output; whether a stop string ended it."""

    text: str
    kept: int
    stopped: bool = False


class TextStream:
    """Holds back incomplete characters, and whatever may still become a stop string."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._longest = max((len(string) for string in stop), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._out = self._came = 0  # characters
        self._ends: list[int] = []  # of the tokens that are not settled, in characters
        self.settled = 0  # tokens whose text no stop string can take back
        self.stopped = False

    def push(self, token_ids: Sequence[int]) -> Emission:
        """Add tokens. Those after the one that completes a stop string don't belong to the output."""
        text = ""
        for kept, token in enumerate(token_ids, start=1):
            text += self._add(self._decoder.decode(self._tokenizer.token_bytes(token)))
            self._settle()
            if self.stopped:
                return Emission(text, kept, stopped=True)
        return Emission(text, len(token_ids))

    def flush(self) -> str:
        """What is still held back, at the end; an incomplete character becomes U+FFFD."""
        if self.stopped:
            return ""
        tail = self._add(self._decoder.decode(b"", final=True))
        tail, self._held = (tail if self.stopped else tail + self._held), ""
        return tail

    def _settle(self) -> None:
        """One token more; all that are out have settled."""
        self._ends.append(self._came)
        out = bisect_right(self._ends, self._out)
        self.settled += out
        del self._ends[:out]

    def _add(self, text: str) -> str:
        """Take more text in; return what is final now."""
        final = self._take(text)
        self._came, self._out = self._came + len(text), self._out + len(final)
        return final

    def _take(self, text: str) -> str:
        self._held += text
        found = [at for at in (self._held.find(string) for string in self._stop) if at >= 0]
        if found:
            self.stopped = True
            final, self._held = self._held[: min(found)], ""
            return final
        keep = self._undecided()
        final, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return final

    def _undecided(self) -> int:
        """Length of the longest tail that begins a stop string."""
        for length in range(min(self._longest - 1, len(self._held)), 0, -1):
            tail = self._held[-length:]
            if any(string.startswith(tail) for string in self._stop):
                return length
        return 0
