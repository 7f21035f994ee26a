"""What passes cost here: measured once, when the engine starts."""

from __future__ import annotations

import time

import numpy as np

from triroute.engine.costs import LEAST_DOUBLE, Costs
from triroute.engine.growth import draw_tree
from triroute.engine.kv_cache import pages_for
from triroute.engine.links import Links
from triroute.engine.model import Block, Model, Storage
from triroute.engine.sampler import Sampler
from triroute.engine.types import Sampling
from triroute.kernels.cpu.attention import PAGE

_WIDTHS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64)
_KEYED, _KEYS = 4, 512
_DRAFTS, _DRAWN = 8, 4
_LEAST_ROUNDS, _MOST_ROUNDS = 4, 12
_SETTLED = 0.98  # a round that shortens no time below this much of it changes nothing


def measured(model: Model, storage: Storage, pages: int) -> Costs:
    """Time passes of several widths, on a cache that nobody uses yet.

    The fastest of rounds counts, since whatever else runs on the machine only ever adds; rounds go on until they
    tell nothing new.
    """
    keys = min(_KEYS, (pages - 2) * PAGE, model.config.context_length - _WIDTHS[-1])
    shapes = [*((width, 0) for width in _WIDTHS), (_KEYED, keys)]
    best = np.full(len(shapes), np.inf)
    for number in range(_MOST_ROUNDS):
        times = np.array([_seconds(model, storage, width, seen) for width, seen in shapes])
        settled = bool((times > _SETTLED * best).all())
        best = np.minimum(best, times)
        if settled and number >= _LEAST_ROUNDS:
            break
    plain = best[:-1]
    slope = (best[-1] - plain[_WIDTHS.index(_KEYED)]) / (_KEYED * max(keys, 1))
    # A wider pass is never cheaper: where one seems so, something disturbed the narrower ones.
    smooth = np.minimum.accumulate(plain[::-1])[::-1]
    base: list[float] = np.interp(range(_WIDTHS[-1] + 1), _WIDTHS, smooth).tolist()
    per_key = min(max(float(slope), 0.0), base[1] / LEAST_DOUBLE)
    return Costs(base, per_key, min(_draft_seconds(model) for _ in range(_DRAFTS)))


def _seconds(model: Model, storage: Storage, width: int, keys: int) -> float:
    """A pass of `width` rows that each see `keys` more, all of them asked for scores."""
    block = Block(keys, [0] * width, list(range(pages_for(keys + width))))
    started = time.perf_counter()
    model.run([block], storage, range(width))
    return time.perf_counter() - started


def _draft_seconds(model: Model) -> float:
    """Drawing one of a few drafts from scores that differ as much as those of masks do."""
    scores = np.random.default_rng(0).normal(0, 3, (_DRAWN, model.config.vocab)).astype(np.float32)
    states = np.zeros((_DRAWN, model.config.hidden), dtype=np.float32)
    links = Links(model.hydra.trail(states) if model.hydra is not None else None, None)
    started = time.perf_counter()
    draw_tree(Sampler(Sampling(), (), None, frozenset()), scores, 0, links, 0)
    return (time.perf_counter() - started) / _DRAWN
