"""Prompt lookup: where a sequence repeats itself, what followed the last time is a draft (Saxena 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_MATCHES = (3, 2, 1)
_WEIGHTS = ((3, 2.0), (2, 0.8))  # by length of the match: how much likelier a token becomes, as a logarithm


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

    def echo(self, tokens: Sequence[int]) -> Echo:
        """For drafts behind `tokens`, all that there are."""
        self._learn(tokens)
        return Echo(self._after, tokens)

    def _learn(self, tokens: Sequence[int]) -> None:
        for index in range(self._known, len(tokens)):
            for match in _MATCHES:
                if index >= match:
                    self._after[tuple(tokens[index - match : index])] = index
        self._known = len(tokens)


class Echo:
    """What the sequence itself says of a draft: which token followed the last time, where it repeats itself."""

    def __init__(
        self, after: Mapping[tuple[int, ...], int], tokens: Sequence[int], tail: tuple[int, ...] | None = None
    ) -> None:
        self._after = after
        self._tokens = tokens
        self._tail = tuple(tokens[-_MATCHES[0] :]) if tail is None else tail

    def fork(self) -> Echo:
        """Another that has come as far."""
        return Echo(self._after, self._tokens, self._tail)

    def step(self, token: int) -> None:
        """Go on behind `token`."""
        self._tail = (*self._tail, token)[-_MATCHES[0] :]

    def follower(self) -> tuple[int, float] | None:
        """The token that followed, and what to add to its score for it; None where nothing repeats."""
        for match, weight in _WEIGHTS:
            at = self._after.get(self._tail[-match:])
            if at is not None and len(self._tail) >= match:
                return self._tokens[at], weight
        return None
