"""Outcomes as a table for people and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from triroute.bench.measure import Outcome, Setting


def table(outcomes: Sequence[Outcome]) -> Group:
    """Medians over the rounds, a ratio with the least and the most that a round gave; what each is below."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("measure", "ours", "peer", "unit", "ratio", "least..most", "target", ""):
        shown.add_column(name, justify="left" if name in ("measure", "unit", "") else "right", no_wrap=True)
    about = Table.grid(padding=(0, 2))
    for outcome in outcomes:
        measure = outcome.measure
        shown.add_row(measure.name, *_figures(outcome))
        about.add_row(measure.name, Text(_about(outcome), style="yellow" if outcome.problem else "dim"))
    return Group(shown, "", about)


def _figures(outcome: Outcome) -> tuple[str | Text, ...]:
    target = str(outcome.measure.target)
    if outcome.problem:
        return "–", "–", outcome.measure.unit, "–", "–", target, "–"
    mark = Text("✓", style="green") if outcome.met else Text("✗", style="red")
    ours, peer, ratio = figure(outcome.ours), figure(outcome.peer), f"[b]{short(outcome.ratio)}[/b]"
    return ours, peer, outcome.measure.unit, ratio, spread(outcome), target, mark


def _about(outcome: Outcome) -> str:
    measure = outcome.measure
    said = outcome.problem or measure.note(outcome.rounds)
    return f"{measure.about}, against {measure.peer}{'; ' if said else ''}{said}"


def figure(number: float) -> str:
    """Three digits that count, or all of them before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def spread(outcome: Outcome) -> str:
    """Least and most ratio of a round."""
    return f"{short(min(outcome.ratios))}..{short(max(outcome.ratios))}"


def short(ratio: float) -> str:
    """As many digits as mean something."""
    return f"{ratio:.3g}" if ratio >= 0.1 else f"{ratio:.2g}"


def write_json(path: Path, outcomes: Sequence[Outcome], setting: Setting) -> None:
    """Everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    measures = {outcome.measure.name: _entry(outcome) for outcome in outcomes}
    report = {**asdict(setting), "measures": measures}
    path.write_text(json.dumps(_rounded(report), indent=1) + "\n", encoding="utf-8")


def _entry(outcome: Outcome) -> dict[str, Any]:
    measure = outcome.measure
    entry: dict[str, Any] = {
        "about": measure.about,
        "peer": measure.peer,
        "unit": measure.unit,
        "target": str(measure.target),
        "hard": measure.target.hard,
    }
    if outcome.problem:
        return {**entry, "problem": outcome.problem}
    return {
        **entry,
        "ratio": outcome.ratio,
        "least": min(outcome.ratios),
        "most": max(outcome.ratios),
        "met": outcome.met,
        "note": measure.note(outcome.rounds),
        "rounds": [
            {"ours": each.ours, "peer": each.peer, "ratio": each.ratio, "details": dict(each.details)}
            for each in outcome.rounds
        ],
    }


def _rounded(value: Any) -> Any:
    """Four digits that count are more than the noise leaves."""
    match value:
        case float():
            return float(f"{value:.4g}")
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list():
            return [_rounded(each) for each in value]
        case _:
            return value
