"""The tokens of a sequence so far, as far as its penalties need them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from triroute.engine.types import Sampling
from triroute.kernels.cpu.scores import penalize

Row = NDArray[np.float32]


class History:
    """Counts of the tokens seen, and what they do to scores.

    The repetition penalty divides a positive score and multiplies another one, for every token of prompt and output
    (Keskar et al., arXiv:1909.05858, as in Hugging Face); the presence penalty is taken off once, the frequency
    penalty once an occurrence, for tokens of the output (as in OpenAI's API); the bias is added.
    """

    def __init__(self, sampling: Sampling, prompt_ids: Iterable[int]) -> None:
        self._repetition = np.float32(sampling.repetition_penalty)
        self._presence = np.float32(sampling.presence_penalty)
        self._frequency = np.float32(sampling.frequency_penalty)
        self._tracks = _penalties(sampling) != _NO_PENALTIES
        self._bias_ids = np.array([token for token, _ in sampling.logit_bias], dtype=np.int64)
        self._bias = np.array([value for _, value in sampling.logit_bias], dtype=np.float32)
        seen = dict.fromkeys(prompt_ids) if sampling.repetition_penalty != 1 else {}
        self._places = {token: place for place, token in enumerate(seen)}
        self._in_prompt = self._distinct = len(seen)
        room = 2 * len(seen) + 64
        self._tokens = np.zeros(room, dtype=np.int64)
        self._tokens[: len(seen)] = list(seen)
        self._counts = np.zeros(room, dtype=np.int64)
        self._output: list[int] = []

    @classmethod
    def of(cls, sampling: Sampling, prompt_ids: Iterable[int]) -> History | None:
        """None where the sampling asks for nothing that depends on history, nor for a bias."""
        return cls(sampling, prompt_ids) if _penalties(sampling) != _NO_PENALTIES or sampling.logit_bias else None

    def push(self, token: int) -> None:
        """Count a token of the output."""
        if not self._tracks:
            return
        self._output.append(token)
        place = self._places.setdefault(token, self._distinct)
        if place == self._distinct:
            self._new(token)
        self._counts[place] += 1

    def pop(self, count: int) -> None:
        """Take back the last `count` tokens pushed."""
        for _ in range(count if self._tracks else 0):
            token = self._output.pop()
            place = self._places[token]
            self._counts[place] -= 1
            if place >= self._in_prompt and self._counts[place] == 0:  # then it was the last to become known
                del self._places[token]
                self._distinct -= 1

    def apply(self, scores: Row, out: Row) -> Row:
        """`scores` with penalties and bias, in `out`, both [width]; ids are within it."""
        out[:] = scores
        if self._distinct:
            penalize(out, self._tokens, self._counts, self._distinct, self._repetition, self._presence, self._frequency)
        out[self._bias_ids] += self._bias
        return out

    def _new(self, token: int) -> None:
        if self._distinct == len(self._tokens):
            self._tokens = np.resize(self._tokens, 2 * self._distinct)
            self._counts = np.resize(self._counts, 2 * self._distinct)
        self._tokens[self._distinct], self._counts[self._distinct] = token, 0
        self._distinct += 1


def _penalties(sampling: Sampling) -> tuple[float, float, float]:
    return sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty


_NO_PENALTIES = _penalties(Sampling())
