"""Free text that a grammar takes over wherever the segmenter sees a tool call open, and leaves where the call ends."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from triroute.engine.errors import EngineError
from triroute.engine.grammar import Constraint, compiled
from triroute.engine.segments import Segmenter
from triroute.engine.segments.call import Call
from triroute.engine.segments.text import OPENING_OF, OPENINGS, Text, half_opening
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import FormatKind, ResponseFormat

_ANYTHING = ResponseFormat(FormatKind.LARK, "start: /(?s:.*)/")
_BETWEEN = 16  # tokens from one mark to the next
_MOST_MARKS = 32

Bits = NDArray[np.uint8]


class Openings:
    """A grammar whose calls begin with their openings, and which tokens may complete one. Shared by requests."""

    def __init__(self, calls: Constraint, tokenizer: Tokenizer) -> None:
        self.calls = calls
        self.tokenizer = tokenizer
        self.plain = compiled(_ANYTHING, "tools", tokenizer).allowed()
        self._said, self._control = _vocabulary(tokenizer)
        self._masks: dict[tuple[bytes, bool], Bits] = {}

    def allowed(self, tail: bytes, *, may_open: bool) -> Bits:
        """What may come in free text that ends so: what completes an opening must be a call's beginning."""
        begun = half_opening(tail)
        mask = self._masks.get((begun, may_open))
        if mask is None:
            mask = self._masks[begun, may_open] = self._mask(begun, may_open=may_open)
        return mask

    def follow(self, text: bytes) -> Constraint | None:
        """The grammar behind an opening and what came after it; None where it does not go so."""
        constraint = self.calls.copy()
        try:
            for token in self.tokenizer.llguidance.tokenize_bytes(text):
                constraint.advance(token)
        except EngineError:
            return None
        return constraint

    def _mask(self, begun: bytes, *, may_open: bool) -> Bits:
        mask = self.plain.copy()
        for start in range(len(begun) + 1):
            part, quoted = begun[start:], begun[:start].endswith(b"`")
            for opening in OPENINGS if not (part and quoted) else ():
                completing = self._completing(opening[len(part) :]) if opening.startswith(part) else []
                if not part and opening in self._control:
                    mask[self._control[opening] >> 3] |= np.uint8(may_open << (self._control[opening] & 7))
                calls = self.follow(part) if completing and may_open else None
                for token in completing:
                    if calls is None or not _has(calls.allowed(), token):
                        mask[token >> 3] &= np.uint8(0xFF ^ (1 << (token & 7)))
        return mask

    def _completing(self, rest: bytes) -> list[int]:
        """The tokens that begin with the rest of an opening."""
        first = bisect_left(self._said, (rest, 0))
        places = takewhile(lambda place: self._said[place][0].startswith(rest), range(first, len(self._said)))
        return [self._said[place][1] for place in places]


class Triggered(Constraint):
    """One output in it. The segmenter decides what is free text and what is a call, as it does for all readers."""

    def __init__(self, openings: Openings, segmenter: Segmenter, *, parallel: bool) -> None:
        self.unenforced = openings.calls.unenforced
        self._openings = openings
        self._segmenter = segmenter
        self._parallel = parallel
        self._tokens: list[int] = []
        self._marks: list[tuple[int, Segmenter]] = []  # the segmenter as it was after so many tokens
        self._call: Call | None = None  # that the text is in
        self._grammar: Constraint | None = None  # of the call; None where it was opened in a way that no grammar holds
        self._since = 0  # tokens before the grammar

    def copy(self) -> Triggered:
        """Another one, at the same place."""
        twin = Triggered(self._openings, self._segmenter.copy(), parallel=self._parallel)
        twin._tokens, twin._marks = [*self._tokens], [*self._marks]
        twin._enter()
        return twin

    def allowed(self) -> Bits:
        """The tokens that can come next, as in any constraint."""
        if self._grammar is not None:
            return self._grammar.allowed()
        part = self._segmenter.part
        if not isinstance(part, Text):
            return self._openings.plain
        return self._openings.allowed(part.tail, may_open=self._parallel or not self._segmenter.begun)

    def accepts(self, token: int) -> bool:
        """Whether `token` can come next."""
        return _has(self.allowed(), token)

    def advance(self, token: int) -> None:
        """Take a token in. Raises EngineError when it can't come next."""
        if self._grammar is not None:
            self._grammar.advance(token)
        elif not self.accepts(token):
            raise EngineError("the output opened a tool call in a way that the tools do not allow")
        self._push(token)

    def take_forced(self, most: int) -> tuple[int, ...]:
        """Take in what a call leaves no choice about. Free text leaves every choice."""
        run = self._grammar.take_forced(most) if self._grammar is not None else ()
        for token in run:
            self._push(token)
        return run

    def back(self, count: int) -> None:
        """Give the last `count` tokens back."""
        if not count:
            return
        left = len(self._tokens) - count
        while self._marks[-1][0] > left:
            self._marks.pop()
        before, segmenter = self._marks[-1]
        self._segmenter = segmenter.copy()
        for token in self._tokens[before:left]:
            self._segmenter.push(token)
        del self._tokens[left:]
        if self._grammar is not None and left >= self._since:
            self._grammar.back(count)
            self._call = self._segmenter.part if isinstance(self._segmenter.part, Call) else None
        else:
            self._call = self._grammar = None
            self._enter()

    def _push(self, token: int) -> None:
        if not self._marks or len(self._tokens) >= self._marks[-1][0] + _BETWEEN:
            self._marks.append((len(self._tokens), self._segmenter.copy()))
            del self._marks[1:-_MOST_MARKS]
        self._tokens.append(token)
        self._segmenter.push(token)
        self._enter()

    def _enter(self) -> None:
        """Begin or end the grammar where a call has begun or ended."""
        part = self._segmenter.part
        if not isinstance(part, Call):
            self._call = self._grammar = None
        elif part is not self._call:
            opening = OPENING_OF.get(part.style)
            self._call, self._since = part, len(self._tokens)
            self._grammar = None if opening is None else self._openings.follow(opening + part.text)


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer) -> tuple[list[tuple[bytes, int]], dict[bytes, int]]:
    """What each token says, sorted; and control tokens that are an opening by name."""
    said = sorted((tokenizer.token_bytes(token), token) for token in range(tokenizer.vocab_size))
    shown = {tokenizer.show(token).encode(): token for text, token in said if not text}
    return said, {opening: shown[opening] for opening in OPENINGS if opening in shown}


def _has(bits: Bits, token: int) -> bool:
    return bool(bits[token >> 3] >> (token & 7) & 1)
