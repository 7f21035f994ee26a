"""How good a classifier is: F1 by kind, calibration, and the same of two baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from triroute.router.classifier.model import KINDS, Model
from triroute.router.classifier.score import Scored, calibration_error, confusion, f1, macro_f1
from triroute.router.classifier.training.bootstrap import interval
from triroute.router.classifier.training.steps import Row
from triroute.router.types import StepKind

_LEAST_PAIRS = 200


def scored(by: Model, rows: Sequence[Row]) -> list[Scored]:
    """What the model, with its floor, says of rows. What structure makes certain is for `classify`, not for it."""
    said = []
    numbers = {name: number for number, name in enumerate(by.names)}
    for row in rows:
        seen = [numbers[name] for name in row.features if name in numbers]
        shares = by.shares([*seen, len(by.names)], row.meaning)
        best = shares.index(max(shares))
        if row.certain is not StepKind.UNKNOWN:
            said.append(Scored(row.certain, 0.99, row.label))
        elif shares[best] < by.floor:
            said.append(Scored(StepKind.UNKNOWN, 1 - shares[best], row.label))
        else:
            said.append(Scored(KINDS[best], shares[best], row.label))
    return said


def measure(by: Model, rows: Sequence[Row], trained: Sequence[Row]) -> dict[str, Any]:
    """All figures of a set of rows; `unknown` counts as wrong."""
    model = scored(by, rows)
    common = Counter(row.label for row in trained).most_common(1)[0][0]
    majority = [Scored(common, 1.0, row.label) for row in rows]
    rules = [Scored(row.rules, 1.0, row.label) for row in rows]
    return {
        "steps": len(rows),
        "sessions": len({row.session for row in rows}),
        "kinds": dict(Counter(row.label.value for row in rows)),
        "macro_f1": round(macro_f1(model), 4),
        "interval": [round(end, 4) for end in interval(model, [row.session for row in rows])],
        "f1": {kind: round(value, 4) for kind, value in f1(model).items()},
        "accuracy": round(sum(one.predicted is one.observed for one in model) / max(len(model), 1), 4),
        "calibration_error": round(calibration_error(model), 4),
        "unknown": sum(one.predicted is StepKind.UNKNOWN for one in model),
        "confusion": confusion(model),
        "baselines": {"majority": round(macro_f1(majority), 4), "rules": round(macro_f1(rules), 4)},
    }


def agreement(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Where requests that look the same were answered more than once: how often two answers are of one kind.

    By source, of those with 200 pairs or more; by the kind of the first answer. What no classifier can know is here.
    """
    groups: dict[tuple[str, tuple[str, ...]], Counter[StepKind]] = {}
    for row in rows:
        groups.setdefault((row.source, row.features), Counter())[row.label] += 1
    pairs: dict[str, Counter[StepKind]] = {}
    same: dict[str, Counter[StepKind]] = {}
    for (source, _), kinds in groups.items():
        for kind, count in kinds.items():
            pairs.setdefault(source, Counter())[kind] += count * (kinds.total() - 1)
            same.setdefault(source, Counter())[kind] += count * (count - 1)
    return {
        source: {
            "pairs": counts.total(),
            "agree": round(same[source].total() / counts.total(), 4),
            "by_kind": {kind.value: round(same[source][kind] / n, 4) for kind, n in sorted(counts.items()) if n >= 20},
        }
        for source, counts in sorted(pairs.items())
        if counts.total() >= _LEAST_PAIRS
    }
