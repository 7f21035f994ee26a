"""Drawing tokens: a function of the scores, the sampling, the position and what was said before.

Each row is drawn by itself, so the bits of a draw do not depend on its neighbours.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triroute.engine.history import History
from triroute.engine.types import Sampling
from triroute.kernels.cpu.draw import Scratch, draw_row, draw_several, first_tokens, log_total
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.noise import keys

Row = NDArray[np.float32]
Bits = NDArray[np.uint8]
RIVALS = 4
EVERYTHING: Bits = np.zeros(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token, and what the model made of it before penalties, temperature and filters.

    `confidence` is its probability, `log_probability` the logarithm of that, `top` the likeliest tokens with theirs.
    """

    token: int
    confidence: float
    log_probability: float
    top: tuple[tuple[int, float], ...] = ()


def draw(
    scores: Row,
    sampling: Sampling,
    position: int,
    allowed: Bits | None = None,
    history: History | None = None,
    *,
    judged: bool = True,
) -> Drawn:
    """The token at `position` from `scores`, fp32 [vocab], which stay as they are.

    `allowed` has a bit a token, lowest bit first, at least one set, up to a multiple of 32. `history` is that of the
    sampling (`History.of`). Log-probabilities are those of the softmax of `scores` alone; without `judged` they are
    left at 0, with confidence 1, unless the sampling asks for them.
    """
    desk = _desks.of(len(scores))
    row = desk.padded(scores)
    changed = row if history is None else history.apply(row, desk.changed)
    bits = EVERYTHING if allowed is None else allowed
    top_k = sampling.top_k if sampling.top_k < len(scores) else 0
    first, second = keys(sampling.seed, position)
    heat = np.float32(sampling.temperature)
    token: int = draw_row(changed, bits, heat, top_k, sampling.top_p, sampling.min_p, first, second, desk.scratch)
    if not judged and sampling.logprobs is None:
        return Drawn(token, 1.0, 0.0)
    total: float = log_total(row, desk.scratch)
    log_probability = float(row[token]) - total
    top: tuple[tuple[int, float], ...] = ()
    if sampling.logprobs:
        count = first_tokens(row, EVERYTHING, min(sampling.logprobs, len(scores)), True, desk.scratch)
        top = tuple((int(likely), float(row[likely]) - total) for likely in desk.scratch.tokens[:count])
    return Drawn(token, math.exp(log_probability), log_probability, top)


def draw_rivals(
    scores: Row, sampling: Sampling, position: int, allowed: Bits | None = None, history: History | None = None
) -> list[tuple[Drawn, float]]:
    """What `draw` draws, and up to RIVALS - 1 that it would draw without those before, the likeliest to hold first.

    With each comes the chance that it is the one which a better judge of the same noise draws.
    """
    desk = _desks.of(len(scores))
    row = desk.padded(scores)
    changed = row if history is None else history.apply(row, desk.changed)
    bits = EVERYTHING if allowed is None else allowed
    top_k = sampling.top_k if sampling.top_k < len(scores) else 0
    first, second = keys(sampling.seed, position)
    heat = np.float32(sampling.temperature)
    count = draw_several(
        changed,
        bits,
        heat,
        top_k,
        sampling.top_p,
        sampling.min_p,
        first,
        second,
        desk.scratch,
        desk.rivals,
        desk.values,
    )
    tokens, values = desk.rivals[:count].tolist(), desk.values[:count].tolist()
    total: float = log_total(row, desk.scratch)
    logs = [float(row[token]) - total for token in tokens]
    drawn = [Drawn(token, math.exp(log), log) for token, log in zip(tokens, logs, strict=True)]
    if heat == 0 and history is None:
        return [(one, one.confidence) for one in drawn]
    weights = [math.exp(value - values[0]) for value in values]
    return [(one, weight / sum(weights)) for one, weight in zip(drawn, weights, strict=True)]


def warm_up(vocab: int) -> None:
    """Compile the kernels, or load their machine code."""
    sampling = Sampling(repetition_penalty=2.0, logprobs=1)
    history = History.of(sampling, (0,))
    draw(np.zeros(vocab, dtype=np.float32), sampling, 0, history=history)
    draw_rivals(np.zeros(vocab, dtype=np.float32), sampling, 0, history=history)


class Desk:
    """Room for draws from rows of one width."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab
        width = -(-vocab // LANES) * LANES
        self.scratch = Scratch.of(width)
        self.changed = np.full(width, -np.inf, dtype=np.float32)
        self.rivals = np.zeros(RIVALS, dtype=np.int64)
        self.values = np.zeros(RIVALS, dtype=np.float32)
        self._row = np.full(width, -np.inf, dtype=np.float32)

    def padded(self, scores: Row) -> Row:
        """The row in whole lanes, as the kernels want it: itself where it is."""
        if len(scores) == len(self._row) and scores.flags.c_contiguous and scores.flags.writeable:
            return scores
        self._row[: self.vocab] = scores
        return self._row


class _Desks(threading.local):
    """One desk a thread; rows of one model all have one width."""

    desk: Desk | None = None

    def of(self, vocab: int) -> Desk:
        if self.desk is None or self.desk.vocab != vocab:
            self.desk = Desk(vocab)
        return self.desk


_desks = _Desks()
