"""Builds the training data from the public sources, and the card that says what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from triroute.router.classifier.encoder import Encoder
from triroute.router.classifier.meaning import texts
from triroute.router.classifier.training import origins, steps
from triroute.router.classifier.training.readers import READERS
from triroute.router.classifier.training.sources import SOURCES
from triroute.router.types import Request


def build_steps(
    folder: Path, path: Path, tell: Callable[[str], None], encoder: Encoder | None = None
) -> list[steps.Row]:
    """Read every source, kept in `folder`, and write the steps' features to `path`. Raises InvalidRequest.

    The rows are returned with what the encoder makes of their requests, if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[steps.Row] = []
    for source in SOURCES:
        examples = steps.unrepeated(READERS[source.reader](source, origins.files(source, folder)))
        of = {id(row): (row, one.request) for one in examples for row in [steps.to_row(one)]}
        kept = steps.thin((row for row, _ in of.values()), source.most)
        tell(f"{source.name}: {len(kept)} steps")
        rows += _meant(kept, [of[id(row)][1] for row in kept], encoder) if encoder and kept else kept
    steps.write(rows, path)
    return rows


def _meant(rows: list[steps.Row], requests: list[Request], encoder: Encoder) -> list[steps.Row]:
    """All in one go: texts of one length are encoded together."""
    vectors = encoder.vectors([text for request in requests for text in texts(request)])
    each = vectors.reshape(len(rows), -1)
    return [replace(row, meaning=vector) for row, vector in zip(rows, each, strict=True)]


def card(rows: list[steps.Row]) -> str:
    """A table: source, revision, licence, sessions, and steps of each kind."""
    kinds = ("plan", "tool_call", "code", "prose")
    counted = steps.balance(rows)
    lines = [f"| source | at | licence | sessions | {' | '.join(kinds)} |", "|---|---|---|---|---|---|---|---|"]
    for source in SOURCES:
        counts = counted.get(source.name, Counter())
        sessions = len({row.session for row in rows if row.source == source.name})
        cells = " | ".join(str(counts.get(kind, 0)) for kind in kinds)
        lines.append(f"| {source.origin} | {source.at[:10]} | {source.licence} | {sessions} | {cells} |")
    return "\n".join(lines) + "\n"
