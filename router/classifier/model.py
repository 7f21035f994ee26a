"""The model: a softmax over the sum of a row of weights a feature, calibrated by a temperature. Read from JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.router.classifier.sight import Sight
from triroute.router.classifier.verbs import IN_ENGLISH, SCRIPTS
from triroute.router.types import StepKind

KINDS = (StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE)
SHIPPED = "weights.json"
_VERSION = 1
_PAIRS = 12  # words of the ask's beginning that are also read in pairs


@dataclass(frozen=True, slots=True)
class Model:
    """`rows` has a feature's row in `weights`, [features + 1, kinds]; the last row is the bias.

    The weights are divided by the temperature already. Under `floor`, the likeliest kind is not claimed.
    """

    rows: dict[str, int]
    names: tuple[str, ...]
    weights: NDArray[np.float32]
    floor: float
    revision: str

    @classmethod
    def parse(cls, text: str) -> Model:
        """From the file's text. Raises ValueError where it is not such a file."""
        try:
            loaded: dict[str, Any] = json.loads(text)
            if loaded["version"] != _VERSION or loaded["kinds"] != [kind.value for kind in KINDS]:
                raise ValueError(f"it is of version {loaded['version']}, for {loaded['kinds']}; train it again")
            names = tuple(loaded["features"])
            rows = [*loaded["features"].values(), loaded["bias"]]
            weights = np.array(rows, np.float32).reshape(-1, len(KINDS)) / float(loaded["temperature"])
            floor = float(loaded["floor"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the weights of a classifier: {error!r} is wrong or missing") from error
        if not np.isfinite(weights).all():
            raise ValueError("not the weights of a classifier: some are not numbers")
        return cls({name: row for row, name in enumerate(names)}, names, weights, floor, revision_of(text))

    def seen(self, sight: Sight) -> list[int]:
        """Rows of the features that a request has, the bias last. Words of other languages count as English ones."""
        rows = self.rows
        found = {rows[name] for name in features(sight) if name in rows}
        for word in sight.ask:
            if f"ask {word}" not in rows:
                english = IN_ENGLISH.get(word) or (None if word.isascii() else _script(word))
                if english is not None and (row := rows.get(f"ask {english}")) is not None:
                    found.add(row)
        return [*found, len(self.names)]

    def shares(self, seen: list[int]) -> list[float]:
        """A probability for each of KINDS."""
        scores: list[float] = self.weights[seen].sum(axis=0).tolist()
        most = max(scores)
        powers = [math.exp(score - most) for score in scores]
        total = sum(powers)
        return [power / total for power in powers]

    def evidence(self, seen: list[int], kind: int, count: int) -> tuple[str, ...]:
        """The features that speak most for a kind, against the mean of all, strongest first."""
        part = self.weights[seen[:-1]]
        gains = part[:, kind] - part.mean(axis=1)
        strongest = np.argsort(-gains)[:count].tolist()
        name = KINDS[kind].value
        return tuple(f"{self.names[seen[at]]} ({name} +{gains[at]:.1f})" for at in strongest if gains[at] >= 0.05)


def features(sight: Sight) -> Iterator[str]:
    """Names of everything that a sight has, as they stand in the weights; a name may come more than once."""
    yield from sight.facts
    yield from [f"ask {word}" for word in sight.ask]
    yield from [f"system {word}" for word in sight.system]
    yield from [f"last {word}" for word in sight.last]
    first = sight.ask[:_PAIRS]
    yield from [f"ask {one} {two}" for one, two in zip(first, first[1:], strict=False)]


def revision_of(text: str) -> str:
    """Names the weights: the first 12 digits of the SHA-256 of their file."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dump(
    names: Iterable[str], weights: NDArray[np.float64], temperature: float, floor: float, note: dict[str, Any]
) -> str:
    """The file's text. `weights` [features + 1, kinds], the bias last."""
    rows = [[round(float(value), 3) for value in row] for row in weights]
    head = {
        "version": _VERSION,
        "kinds": [kind.value for kind in KINDS],
        "temperature": round(temperature, 4),
        "floor": floor,
        **note,
        "bias": rows[-1],
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in zip(names, rows, strict=False))
    return json.dumps(head, indent=1)[:-2] + ',\n "features": {\n' + lines + "\n }\n}\n"


def shipped() -> Model:
    """The weights that come with Triroute."""
    return Model.parse(resources.files("triroute.router.classifier").joinpath(SHIPPED).read_text("utf-8"))


def _script(word: str) -> str | None:
    return next((english for part, english in SCRIPTS.items() if part in word), None)
