"""How good a classifier is: F1 by kind, calibration, and the same of two baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from triroute.router.classifier.model import KINDS, Model
from triroute.router.classifier.score import Scored, calibration_error, confusion, f1, macro_f1
from triroute.router.classifier.training.steps import Row
from triroute.router.types import StepKind


def scored(by: Model, rows: Sequence[Row]) -> list[Scored]:
    """What the model, with its floor, says of rows. What structure makes certain is for `classify`, not for it."""
    said = []
    numbers = {name: number for number, name in enumerate(by.names)}
    for row in rows:
        seen = [numbers[name] for name in row.features if name in numbers]
        shares = by.shares([*seen, len(by.names)])
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
        "f1": {kind: round(value, 4) for kind, value in f1(model).items()},
        "accuracy": round(sum(one.predicted is one.observed for one in model) / max(len(model), 1), 4),
        "calibration_error": round(calibration_error(model), 4),
        "unknown": sum(one.predicted is StepKind.UNKNOWN for one in model),
        "confusion": confusion(model),
        "baselines": {"majority": round(macro_f1(majority), 4), "rules": round(macro_f1(rules), 4)},
    }
