"""Follows an output token by token, and knows what part of it the text has come to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from triroute.engine.segments.call import Call
from triroute.engine.segments.fence import fence_at_end
from triroute.engine.segments.part import Part
from triroute.engine.segments.speech import Speech
from triroute.engine.segments.text import OPENING_OF, Text
from triroute.engine.segments.thinking import thinking_at_end
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import BrokenCall, CallEvent, CallPiece, Parameters, SegmentKind, Stretch, WrittenCall

_PROMPT_TAIL = 24  # tokens of the prompt that may leave something open


class Segmenter:
    """Pushing tokens one by one or many at once comes to the same. `parameters`: see Request.

    `speech` is told of calls as well; copies have none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        *,
        may_call: bool,
        parameters: Parameters | None = None,
        speech: Speech | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._text = Text(may_call=may_call, parameters=parameters or {})
        tail = b"".join(map(self._bytes, prompt_ids[-_PROMPT_TAIL:]))
        self._part: Part = thinking_at_end(tail) or fence_at_end(tail) or self._text
        self._tokens = 0
        self.begun = 0  # calls, so far
        self._unread = 0  # what was opened as a call and can't be read
        self._before = (0, 0)  # both, when the part was opened
        self._speech = speech

    @property
    def kinds(self) -> tuple[SegmentKind, ...]:
        """What the next token is in, innermost first."""
        return self._part.kinds

    @property
    def part(self) -> Part:
        """The part that the text has come to."""
        return self._part

    def copy(self) -> Segmenter:
        """Another one, at the same place."""
        twin = copy.copy(self)
        twin._text = copy.copy(self._text)
        twin._speech = None
        twin._part = twin._text if self._part is self._text else self._part.copy()
        return twin

    def push(self, token: int) -> tuple[CallEvent, ...]:
        """Take the next token of the output; what becomes known of tool calls with it."""
        rest: bytes | None = self._bytes(token)
        calls: tuple[CallEvent, ...] = ()
        if self._speech is not None:
            self._speech.push(self._tokenizer.token_bytes(token), len(rest or b""))
        while rest:
            part = self._part
            rest = part.feed(rest, self._tokens)
            calls += self._calls()
            if rest is not None:
                self._part = part.opened or self._text
                self._turn(part, len(rest))
        self._tokens += 1
        return calls

    def end(self) -> tuple[CallEvent, ...]:
        """The output is over; what becomes known of tool calls with that."""
        self._part.end(self._tokens)
        calls = self._calls()
        if self._speech is not None:
            self._speech.end(speech=self._is_speech(self._part, cut=True))
        return calls

    def spoken(self) -> tuple[Stretch, ...]:
        """What is now known to be outside of tool calls, each part of the text once."""
        if self._speech is None:
            return ()
        return self._speech.take(self._part.undecided if isinstance(self._part, Text) else 0)

    def _turn(self, left: Part, rest: int) -> None:
        """One part has ended, with so many bytes to come, and the next begun."""
        if self._speech is not None:
            if isinstance(left, Call):
                self._speech.close(rest, speech=self._is_speech(left))
            if isinstance(self._part, Call):
                self._speech.open(rest + len(OPENING_OF.get(self._part.style, b"")))
        self._before = self.begun, self._unread

    def _is_speech(self, part: Part, *, cut: bool = False) -> bool:
        """Whether a call turned out to be none: nothing of one was told, and something else is in it. `cut`: so far."""
        begun, unread = self._before
        opened = isinstance(part, Call) and part.style in OPENING_OF
        return self.begun == begun and (not opened or (self._unread > unread and not cut))

    def _calls(self) -> tuple[CallEvent, ...]:
        if not self._part.calls:
            return ()
        told = tuple(map(self._numbered, self._part.calls))
        self._part.calls.clear()
        return told

    def _numbered(self, event: CallEvent) -> CallEvent:
        if isinstance(event, CallPiece):
            self.begun += bool(event.name)
        self._unread += isinstance(event, BrokenCall)
        return replace(event, number=self.begun - 1) if isinstance(event, (CallPiece, WrittenCall)) else event

    def _bytes(self, token: int) -> bytes:
        """What a token says: its text, or the name of a control token, which may open a part."""
        said = self._tokenizer.token_bytes(token)
        if said or token in self._tokenizer.end_ids:
            return said
        return self._tokenizer.show(token).encode()
