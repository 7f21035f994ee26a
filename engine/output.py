"""The output of one request as it grows: what ends it, and the text that its client has not had yet."""

from __future__ import annotations

from collections.abc import Set

from triroute.engine.text import TextStream
from triroute.engine.types import FinishReason


class Output:
    """Judges tokens: which still belong to the output, and whether they finish it."""

    def __init__(self, text: TextStream, end_ids: Set[int], max_tokens: int, characters_to_skip: int) -> None:
        self._text = text
        self._end_ids = end_ids
        self._to_skip = characters_to_skip
        self.remaining = max_tokens
        self.finish: FinishReason | None = None

    def push(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Tokens up to whatever ends the output, and the text that became final; sets `finish` where they end it."""
        ends = [index for index, token in enumerate(tokens) if token in self._end_ids]
        tokens = tokens[: ends[0] + 1] if ends else tokens
        tokens = tokens[: self.remaining]
        emission = self._text.push(tokens)
        kept = tokens[: emission.kept]
        self.remaining -= len(kept)
        if emission.stopped or (kept and kept[-1] in self._end_ids):
            self.finish = FinishReason.STOP
        elif not self.remaining:
            self.finish = FinishReason.LENGTH
        return kept, self._skip(emission.text)

    def settled(self, tokens: int) -> int:
        """How many of its so many tokens are sure to belong to it: a stop string takes back those that it is in."""
        return tokens if self.finish is not None and not self._text.stopped else self._text.settled

    def flush(self) -> str:
        """What is still held back, at the end."""
        return self._skip(self._text.flush())

    def _skip(self, text: str) -> str:
        skipped = min(self._to_skip, len(text))
        self._to_skip -= skipped
        return text[skipped:]
