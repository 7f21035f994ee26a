"""The model: a softmax over the sum of a row of weights a feature, calibrated by a temperature. Read from JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.router.classifier.sight import Sight
from triroute.router.types import StepKind

KINDS = (StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE)
SHIPPED, ENCODED = "weights.json", "weights_encoded.json"  # without an encoder, and with all-MiniLM-L6-v2
FIELDS = ("fact", "ask", "system")  # the first word of a feature's name
_VERSION = 1
_LEAST_GAIN = 0.05  # of evidence
_PREFIX = len("fact ")
_QUOTES = "fact ask begins with"  # a fact that holds a word of the prompt


@dataclass(frozen=True, slots=True)
class Model:
    """`rows` has, for each field of a sight, the row in `weights` of each of its features.

    `weights` is [features + 1, kinds], divided by the temperature already; the last row is the bias. `telling` has, for
    each kind, the rows of the facts that speak for it, and how far above the mean of all kinds. Under `floor`, no kind
    is claimed. `meaning` [texts * width, kinds] are the weights of what the encoder with this SHA-256 makes of a
    request, if any.
    """

    rows: dict[str, dict[str, int]]
    names: tuple[str, ...]
    weights: NDArray[np.float32]
    telling: tuple[dict[int, float], ...]
    floor: float
    revision: str
    meaning: NDArray[np.float32] | None = None
    encoder: str = ""

    @classmethod
    def parse(cls, text: str) -> Model:
        """From the file's text. Raises ValueError where it is not such a file."""
        try:
            loaded: dict[str, Any] = json.loads(text)
            if loaded["version"] != _VERSION or loaded["kinds"] != [kind.value for kind in KINDS]:
                raise ValueError(f"it is of version {loaded['version']}, for {loaded['kinds']}; train it again")
            names = tuple(loaded["features"])
            listed = [*loaded["features"].values(), loaded["bias"]]
            heat = float(loaded["temperature"])
            weights = np.array(listed, np.float32).reshape(len(names) + 1, len(KINDS)) / heat
            meant = np.array(loaded.get("meaning", []), np.float32).reshape(-1, len(KINDS)) / heat
            floor = float(loaded["floor"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the weights of a classifier: {error!r} is wrong or missing") from error
        if not (np.isfinite(weights).all() and np.isfinite(meant).all()):
            raise ValueError("not the weights of a classifier: some are not numbers")
        rows: dict[str, dict[str, int]] = {field: {} for field in FIELDS}
        for row, name in enumerate(names):
            field, _, feature = name.partition(" ")
            rows.setdefault(field, {})[feature] = row
        encoder = str(loaded.get("encoder", ""))
        telling = _telling(names, weights)
        return cls(rows, names, weights, telling, floor, revision_of(text), meant if encoder else None, encoder)

    def seen(self, sight: Sight) -> list[int]:
        """Rows of the features that a request has, the bias last."""
        facts, asks, systems = (self.rows[field] for field in FIELDS)
        found = {*map(facts.get, sight.facts), *map(asks.get, sight.ask), *map(systems.get, sight.system)}
        return [*(row for row in found if row is not None), len(self.names)]

    def shares(self, seen: list[int], vectors: NDArray[np.float32] | None = None) -> list[float]:
        """A probability for each of KINDS. `vectors` [texts * width] are the encoder's, where the weights have one."""
        total_scores = np.add.reduce(self.weights.take(seen, axis=0))
        if self.meaning is not None and vectors is not None:
            total_scores = total_scores + vectors @ self.meaning
        scores: list[float] = total_scores.tolist()
        most = max(scores)
        powers = [math.exp(score - most) for score in scores]
        total = sum(powers)
        return [power / total for power in powers]

    def evidence(self, seen: list[int], kind: int, count: int) -> tuple[str, ...]:
        """The facts that speak most for a kind, strongest first. Words count too, but records hold none of a prompt."""
        telling, name = self.telling[kind], KINDS[kind].value
        spoke = sorted([(-telling[row], row) for row in seen if row in telling])[:count]
        return tuple([f"{self.names[row][_PREFIX:]} ({name} +{-gain:.1f})" for gain, row in spoke])


def _telling(names: tuple[str, ...], weights: NDArray[np.float32]) -> tuple[dict[int, float], ...]:
    gains = weights - weights.mean(axis=1, keepdims=True)
    facts = [row for row, name in enumerate(names) if name.startswith("fact ") and not name.startswith(_QUOTES)]
    return tuple(
        {row: float(gains[row, kind]) for row in facts if gains[row, kind] >= _LEAST_GAIN} for kind in range(len(KINDS))
    )


def features(sight: Sight) -> Iterator[str]:
    """Names of everything that a sight has, as they stand in the weights; a name may come more than once."""
    yield from [f"fact {fact}" for fact in sight.facts]
    yield from [f"ask {word}" for word in sight.ask]
    yield from [f"system {word}" for word in sight.system]


def revision_of(text: str) -> str:
    """Names the weights: the first 12 digits of the SHA-256 of their file."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dump(
    names: Sequence[str], weights: NDArray[np.float64], temperature: float, floor: float, note: dict[str, Any]
) -> str:
    """The file's text. `weights` [features + 1, kinds], the bias last; after it come those of an encoder's vectors."""
    all_rows = [[round(float(value), 3) for value in row] for row in weights]
    rows, meant = all_rows[: len(names) + 1], all_rows[len(names) + 1 :]
    head = {
        "version": _VERSION,
        "kinds": [kind.value for kind in KINDS],
        "temperature": round(temperature, 4),
        "floor": floor,
        **note,
        "bias": rows[-1],
    }
    if meant:
        head["meaning"] = meant
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in zip(names, rows, strict=False))
    return json.dumps(head, indent=1)[:-2] + ',\n "features": {\n' + lines + "\n }\n}\n"


def shipped(name: str = SHIPPED) -> Model:
    """Weights that come with Triroute."""
    return Model.parse(resources.files("triroute.router.classifier").joinpath(name).read_text("utf-8"))
