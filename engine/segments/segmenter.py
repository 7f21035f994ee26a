"""Follows an output token by token, and knows what part of it the text has come to."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.engine.segments.fence import fence_at_end
from triroute.engine.segments.part import Part
from triroute.engine.segments.text import Text
from triroute.engine.segments.thinking import thinking_at_end
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import SegmentKind, WrittenCall

_PROMPT_TAIL = 24  # tokens of the prompt that may leave something open


class Segmenter:
    """Pushing tokens one by one or many at once comes to the same."""

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int], *, may_call: bool) -> None:
        self._tokenizer = tokenizer
        self._text = Text(may_call=may_call)
        tail = b"".join(map(self._bytes, prompt_ids[-_PROMPT_TAIL:]))
        self._part: Part = thinking_at_end(tail) or fence_at_end(tail) or self._text
        self._tokens = 0

    @property
    def kinds(self) -> tuple[SegmentKind, ...]:
        """What the next token is in, innermost first."""
        return self._part.kinds

    def push(self, token: int) -> tuple[WrittenCall, ...]:
        """Take the next token of the output; the tool calls that it completed."""
        rest: bytes | None = self._bytes(token)
        calls: tuple[WrittenCall, ...] = ()
        while rest:
            part = self._part
            rest = part.feed(rest, self._tokens)
            calls += self._calls()
            if rest is not None:
                self._part = part.opened or self._text
        self._tokens += 1
        return calls

    def end(self) -> tuple[WrittenCall, ...]:
        """The output is over; the tool calls that this completed."""
        self._part.end(self._tokens)
        return self._calls()

    def _calls(self) -> tuple[WrittenCall, ...]:
        calls = self._part.calls
        if not calls:
            return ()
        told, self._part.calls = tuple(calls), []
        return told

    def _bytes(self, token: int) -> bytes:
        """What a token says: its text, or the name of a control token, which may open a part."""
        said = self._tokenizer.token_bytes(token)
        if said or token in self._tokenizer.end_ids:
            return said
        return self._tokenizer.show(token).encode()
