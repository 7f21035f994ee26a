"""`triroute audit verify`: whether the log is what it was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.audit.place import Place
from triroute.router.audit.report import Report
from triroute.router.audit.verify import verify as verify_log
from triroute.router.cli.exits import FAILED
from triroute.router.cli.options import DEFAULTS, Records, public_key
from triroute.router.cli.screen import line


def verify(
    records: Records = DEFAULTS.records,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint that was kept elsewhere: the log must have grown from it.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="Public key, NAME+ID+KEY, or a file with it.", show_default="beside the log")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Read the whole log; exit code 1 when anything was altered, removed, inserted or moved, and say which entry."""
    report = verify_log(records, public_key(key), checkpoint)
    if as_json:
        print(json.dumps(dataclasses.asdict(report) | {"ok": report.ok}))  # noqa: T201
    else:
        _show(report, records)
    if not report.ok:
        raise typer.Exit(FAILED)


def _show(report: Report, records: Place) -> None:
    for problem in report.problems:
        line(f"[red]{escape(problem.where)}[/red]: {escape(problem.what)}")
    if report.more:
        line(f"and {report.more} more problems")
    gone = f", {report.pruned} of them without their bodies" if report.pruned else ""
    counts = f"{report.entries} entries ({report.records} steps, {report.events} events{gone})"
    if report.ok:
        line(f"[green]ok[/green] {escape(str(records))}: {counts}, root {report.root[:16]}, log {report.origin}")
        line(f"[dim]compared with {len(report.checkpoints)} signed checkpoints[/dim]")
        if not report.vouched:
            line(
                f"[yellow]signed by {escape(report.key)}[/yellow], which only files beside the log vouch for: who can"
                " write all of them can sign another log. Compare it with the key that was kept elsewhere, or use --key"
            )
    else:
        line(f"[red]altered[/red] {escape(str(records))}: {counts}, log {report.origin}")
