"""Prompt lookup: where a sequence repeats itself, what followed the last time is a draft (Saxena 2023)."""

from __future__ import annotations

from collections.abc import Sequence

_MATCHES = (3, 2, 1)


class PromptLookup:
    """An index of the last place of every run of one to three tokens, kept up as the sequence grows."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._known = 0

    def find(self, tokens: Sequence[int], most: int) -> tuple[int, tuple[int, ...]]:
        """Length of the longest repeated ending, and at most `most` tokens that followed it before; 0 and none else."""
        self._learn(tokens)
        for match in _MATCHES:
            at = self._after.get(tuple(tokens[-match:]))
            if at is not None:
                return match, tuple(tokens[at : at + most])
        return 0, ()

    def _learn(self, tokens: Sequence[int]) -> None:
        for index in range(self._known, len(tokens)):
            for match in _MATCHES:
                if index >= match:
                    self._after[tuple(tokens[index - match : index])] = index
        self._known = len(tokens)
