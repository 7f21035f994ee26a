"""Fits the weights: softmax regression with a quadratic penalty, then one temperature on sessions kept apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triroute.router.classifier.model import KINDS
from triroute.router.classifier.training.prior import BELIEVED, believed
from triroute.router.classifier.training.steps import Row

Matrix = NDArray[np.float64]

HELD_OUT = ("pydantic-ai", "tree-of-thoughts", "mint")  # the frameworks that no weight has seen
LATER = ("tora",)  # nor this one; measured apart, and first when everything was chosen
_TEST, _TUNE = 0.2, 0.1  # shares of the sessions
_LEAST_SESSIONS = 6
_PENALTY, _OF_MEANING = 1e-3, 0.07  # the share of it that holds for an encoder's vectors, which are small
_ROUNDS, _RATE = 300, 0.1


@dataclass(frozen=True, slots=True)
class Splits:
    """Rows by what they are for: no session is in two of them."""

    train: list[Row]
    tune: list[Row]
    test: list[Row]
    held_out: list[Row]
    later: list[Row]


def split(rows: list[Row], held_out: tuple[str, ...] = HELD_OUT) -> Splits:
    """By framework, then by the hash of the session."""
    seen = [row for row in rows if row.framework not in (*held_out, *LATER)]
    unseen = [row for row in rows if row.framework in held_out]
    place = {row.session: int(row.session, 16) / 16**8 for row in seen}
    test = [row for row in seen if place[row.session] < _TEST]
    tune = [row for row in seen if _TEST <= place[row.session] < _TEST + _TUNE]
    later = [row for row in rows if row.framework in LATER]
    return Splits([row for row in seen if place[row.session] >= _TEST + _TUNE], tune, test, unseen, later)


def vocabulary(rows: list[Row]) -> list[str]:
    """Features that enough sessions have, and those that are believed to tell something."""
    counts: Counter[str] = Counter(name for _, name in {(row.session, name) for row in rows for name in row.features})
    return sorted({*(name for name, count in counts.items() if count >= _LEAST_SESSIONS), *BELIEVED})


@dataclass(frozen=True, slots=True)
class Table:
    """Which features each row has: a sparse matrix of ones, [rows, width]; the last column is the bias.

    After it come the columns of `dense`, an encoder's vectors, where rows have them.
    """

    columns: NDArray[np.int64]  # of all rows, one after the other
    starts: NDArray[np.int64]  # where each row begins in `columns`
    rows: NDArray[np.int64]  # the row of each of `columns`
    width: int
    dense: Matrix

    @classmethod
    def of(cls, rows: list[Row], names: list[str]) -> Table:
        numbers = {name: number for number, name in enumerate(names)}
        lists = [[*(numbers[name] for name in row.features if name in numbers), len(names)] for row in rows]
        lengths = np.array([len(one) for one in lists], np.int64)
        starts = np.concatenate(([0], lengths.cumsum()[:-1])).astype(np.int64)
        flat = np.array([number for one in lists for number in one], np.int64)
        dense = np.array([row.meaning if row.meaning is not None else () for row in rows], np.float64)
        return cls(flat, starts, np.repeat(np.arange(len(rows)), lengths), len(names) + 1, dense)

    def scores(self, weights: Matrix) -> Matrix:
        """[rows, kinds] for weights [width + dense, kinds]."""
        found: Matrix = np.add.reduceat(weights[self.columns], self.starts, axis=0) + self.dense @ weights[self.width :]
        return found

    def gather(self, slopes: Matrix) -> Matrix:
        """[width + dense, kinds]: the sum of the slopes [rows, kinds] of the rows that have each feature."""
        parts = [np.bincount(self.columns, slopes[self.rows, kind], self.width) for kind in range(slopes.shape[1])]
        return np.concatenate((np.stack(parts, axis=1), self.dense.T @ slopes))


def labels(rows: list[Row]) -> NDArray[np.int64]:
    """Index of each row's label in KINDS."""
    return np.array([KINDS.index(row.label) for row in rows], np.int64)


def fit(table: Table, wanted: NDArray[np.int64], rows: list[Row], names: list[str]) -> Matrix:
    """Weights [width + dense, kinds] by Adam over all rows. A framework counts with the root of its rows' number."""
    before, firm = believed(names)
    meant = table.dense.shape[1]
    before = np.concatenate((before, np.zeros((meant, before.shape[1]))))
    firm = np.concatenate((firm, np.full((meant, firm.shape[1]), _OF_MEANING)))
    counts = Counter(row.framework for row in rows)
    share = np.array([counts[row.framework] ** -0.5 for row in rows])
    share /= share.sum()
    target = np.eye(len(KINDS))[wanted]
    weights = before.copy()
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, _ROUNDS + 1):
        slope = table.gather((softmax(table.scores(weights)) - target) * share[:, None])
        slope += _PENALTY * firm * (weights - before)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope * slope
        rate = _RATE * (1 - step / (_ROUNDS + 1))
        weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weights


def temperature(scores: Matrix, wanted: NDArray[np.int64]) -> float:
    """What to divide scores by, for the likeliest outcomes of rows that were not fitted."""
    tried = np.geomspace(0.4, 4, 120)
    losses = [-np.log(softmax(scores / t)[np.arange(len(wanted)), wanted] + 1e-12).mean() for t in tried]
    return float(tried[int(np.argmin(losses))])


def softmax(scores: Matrix) -> Matrix:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Matrix = powers / powers.sum(axis=-1, keepdims=True)
    return shares
