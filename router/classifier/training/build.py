"""Builds the training data from the public sources, and the card that says what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from triroute.router.classifier.training import origins, steps
from triroute.router.classifier.training.readers import READERS
from triroute.router.classifier.training.sources import SOURCES


def build_steps(folder: Path, path: Path, tell: Callable[[str], None]) -> None:
    """Read every source, kept in `folder`, and write the steps' features to `path`. Raises InvalidRequest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[steps.Row] = []
    for source in SOURCES:
        examples = steps.unrepeated(READERS[source.reader](source, origins.files(source, folder)))
        kept = steps.thin((steps.to_row(one) for one in examples), source.most)
        tell(f"{source.name}: {len(kept)} steps")
        rows += kept
    steps.write(rows, path)


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
