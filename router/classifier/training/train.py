"""`triroute train-classifier`: from the kept features to weights and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from triroute.router.classifier.model import Model, dump
from triroute.router.classifier.training import figures
from triroute.router.classifier.training.fit import HELD_OUT, Table, fit, labels, split, temperature, vocabulary
from triroute.router.classifier.training.steps import Row

_FLOOR = 0.4  # a kind less likely than this is not claimed


def train(rows: list[Row], held_out: tuple[str, ...] = HELD_OUT, encoder: str = "") -> tuple[str, dict[str, Any]]:
    """The weights' text, and how well they do on sessions and on a framework that they have not seen.

    `encoder` is the SHA-256 of the one that made the rows' `meaning`, where they have any.
    """
    parts = split(rows, held_out)
    names = vocabulary(parts.train)
    weights = fit(Table.of(parts.train, names), labels(parts.train), parts.train, names)
    heat = temperature(Table.of(parts.tune, names).scores(weights), labels(parts.tune))
    note = {"trained_on": len(parts.train), "held_out": list(held_out)} | ({"encoder": encoder} if encoder else {})
    text = dump(names, weights, heat, _FLOOR, note)
    by = Model.parse(text)
    return text, {
        "revision": by.revision,
        "features": len(names),
        "temperature": round(heat, 3),
        "rows": {"train": len(parts.train), "tune": len(parts.tune)},
        "unseen_sessions": figures.measure(by, parts.test, parts.train),
        "held_out_frameworks": {
            **figures.measure(by, parts.held_out, parts.train),
            "each": {
                name: figures.measure(by, [row for row in parts.held_out if row.framework == name], parts.train)
                for name in sorted({row.framework for row in parts.held_out})
            },
        },
        "later_framework": figures.measure(by, parts.later, parts.train) if parts.later else {},
        "by_source": {
            name: figures.measure(by, [row for row in parts.test if row.source == name], parts.train)
            for name in sorted({row.source for row in parts.test})
        },
    }


def write(text: str, path: Path) -> None:
    """Put the weights in place, whole or not at all."""
    Model.parse(text)
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def save(result: dict[str, Any], path: Path) -> None:
    """Write figures."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
