"""`triroute classify report`: how well the classifier does on recorded steps."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from triroute.router.audit.store import RecordStore
from triroute.router.classifier.report import Report, report
from triroute.router.classifier.score import Scored, calibration_error, confusion, f1, macro_f1
from triroute.router.cli.options import DEFAULTS, MOST_ROWS, Records
from triroute.router.cli.screen import console
from triroute.router.errors import NotFound
from triroute.router.types import StepKind

_ALL = "all"

classify = typer.Typer(no_args_is_help=True, help="What steps were taken for, and what they were.")


@classify.callback()
def _group() -> None:
    """Keeps `report` a verb of its own."""


@classify.command("report")
def show(
    records: Records = DEFAULTS.records,
    last: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, help="How many of the latest records to look at.")
    ] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Confusion matrix, F1 and calibration of recorded steps, by framework, and whether the classifier drifts."""
    found = report(reversed(RecordStore(records).latest(last)))
    if not found.steps:
        raise NotFound(f"no finished steps in {records} yet; run `triroute demo` or `triroute generate` first")
    if as_json:
        print(json.dumps(_figures(found), indent=1))  # noqa: T201
        return
    for name, steps in found.steps.items():
        console.print(_matrix(name, steps, found.drift.drifting.get(name, False)))
    if found.unseen:
        console.print(f"{found.unseen} more records have no output to go by")


def _matrix(name: str, steps: list[Scored], drifting: bool) -> Table:
    """Rows are what steps turned out to be, columns what they were taken for."""
    state = "[red]drifting[/red]" if drifting else "no drift"
    hits = sum(step.predicted is step.observed for step in steps)
    title = (
        f"{name}: {len(steps)} steps, {hits} right, macro-F1 {macro_f1(steps):.2f},"
        f" calibration error {calibration_error(steps):.2f}, {state}"
    )
    table = Table(title=title, title_justify="left")
    kinds = [kind.value for kind in StepKind]
    for column in ("turned out", *kinds, "F1"):
        table.add_column(column, justify="left" if column == "turned out" else "right")
    scores = f1(steps)
    for observed, counts in confusion(steps).items():
        cells = [_cell(counts.get(kind, 0), kind == observed) for kind in kinds]
        table.add_row(observed, *cells, f"{scores[observed]:.2f}")
    return table


def _cell(count: int, right: bool) -> str:
    return "" if not count else f"[b green]{count}[/b green]" if right else str(count)


def _figures(found: Report) -> dict[str, Any]:
    everything = [step for steps in found.steps.values() for step in steps]
    return {
        "revisions": sorted(found.revisions),
        "without_output": found.unseen,
        _ALL: _of(everything),
        "frameworks": {
            name: {**_of(steps), "drifting": found.drift.drifting.get(name, False)}
            for name, steps in found.steps.items()
        },
    }


def _of(steps: list[Scored]) -> dict[str, Any]:
    return {
        "steps": len(steps),
        "macro_f1": round(macro_f1(steps), 4),
        "f1": {kind: round(value, 4) for kind, value in f1(steps).items()},
        "calibration_error": round(calibration_error(steps), 4),
        "confusion": confusion(steps),
    }
