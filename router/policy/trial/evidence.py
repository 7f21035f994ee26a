"""Evidence that the candidate's steps go wrong more often than those of the active policy, looked at at any time.

Steps are taken in blocks. In a block of m steps of the candidate and n of the active policy, k of all are bad. Where
both arms are alike, the bad ones lie in it as if drawn from an urn, whatever their rate: the number x of the
candidate's is hypergeometric. Where the candidate's odds are r times as high, it is Fisher's noncentral
hypergeometric. The ratio of the two probabilities of x is worth 1 on average as long as the candidate is not worse,
and so is the product over blocks: a test martingale. It reaches 1/a with probability at most a, however long it is
watched (Ville's inequality), and that holds while rates drift, for they cancel within a block.

Each block may be the one from which on the candidate is worse: a share of the stake is kept for each later start. Bad
luck of the past can so be bought back, and a candidate that turns bad late is found nearly as soon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ODDS = (2.0, 5.0, 20.0)  # how much worse, in odds; the average over them is a martingale as well


class Evidence:
    """One martingale for each of `ODDS`, against the claim that the candidate's odds are at most `ratio` times those of
    the active policy.
    """

    def __init__(self, ratio: float = 1.0) -> None:
        self._ratio = ratio
        self._blocks = 0
        self._logs = [-math.inf for _ in ODDS]  # log of what the starts so far are worth

    def add(self, bad: int, steps: int, others_bad: int, others: int) -> None:
        """A block: of so many `steps` of the candidate, and so many `others`, so many were bad."""
        self._blocks += 1
        start = -math.log(self._blocks * (self._blocks + 1))
        for index, odds in enumerate(ODDS):
            won = _log_ratio(bad, steps, others, bad + others_bad, odds * self._ratio, self._ratio)
            self._logs[index] = _log_sum(self._logs[index], start) + won

    @property
    def logs(self) -> list[float]:
        """The logarithm of each martingale."""
        kept = -math.log(self._blocks + 1)
        return [_log_sum(value, kept) for value in self._logs]


def log_mean(logs: Sequence[float]) -> float:
    """The logarithm of the average of martingales, given as logarithms."""
    return _log_sum(*logs) - math.log(len(logs))


def _log_ratio(bad: int, steps: int, others: int, total: int, odds: float, null: float) -> float:
    """log of P(bad | odds) / P(bad | null), given that `total` of all are bad."""
    least, most = max(0, total - others), min(total, steps)
    ways = [_log_choose(steps, x) + _log_choose(others, total - x) for x in range(least, most + 1)]

    def norm(by: float) -> float:
        return _log_sum(*(way + (least + index) * math.log(by) for index, way in enumerate(ways)))

    return bad * (math.log(odds) - math.log(null)) - norm(odds) + norm(null)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_sum(*logs: float) -> float:
    """log of a sum, of logarithms."""
    top = max(logs)
    return top if top == -math.inf else top + math.log(sum(math.exp(value - top) for value in logs))
