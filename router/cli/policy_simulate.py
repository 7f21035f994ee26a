"""`triroute policy simulate`: how fast recorded traffic would have been under other policies."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.output import output
from triroute.router.cli.screen import console, line
from triroute.router.cli.traffic import MOST, Last, about, traffic_of
from triroute.router.policy import load
from triroute.router.policy.traffic import Traffic
from triroute.router.policy.traffic.plot import draw
from triroute.router.policy.traffic.simulate import Check, Forecast, check, engine_of, observed
from triroute.router.policy.traffic.simulate import simulate as predict

_LISTED = 6
_NARROW = 60  # columns under which a table of five has no room for names


def simulate(
    policies: Annotated[list[Path], typer.Argument(help="Policy files.", show_default=False)],
    records: Records = DEFAULTS.records,
    last: Last = MOST,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the figures into this file (.png or .svg).")] = None,
) -> None:
    """Predict speed, latency and modes of recorded steps under each policy, from what the engine's passes cost."""
    loaded = [load(path) for path in policies]
    traffic = traffic_of(records, last)
    engine = engine_of(traffic)
    was, checked = observed(traffic), check(traffic)
    forecasts = [
        dataclasses.replace(predict(policy, traffic, engine), name=str(path))
        for policy, path in zip(loaded, policies, strict=True)
    ]
    if plot is not None:
        try:
            with output(plot, records, "--plot") as file:
                draw(file, [was, *forecasts])
        except (ImportError, ValueError) as error:
            raise typer.BadParameter(f"{plot}: {error}", param_hint="--plot") from error
    if as_json:
        told = {
            "records": len(traffic.steps),
            "left_out": traffic.left_out,
            "simulated": len(traffic.ran),
            "check": dataclasses.asdict(checked),
            "recorded": as_dict(was),
            "policies": [as_dict(one) for one in forecasts],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(traffic, [was, *forecasts], checked)


def as_dict(one: Forecast) -> dict[str, Any]:
    """A forecast for JSON."""
    unseen = [
        {"step": str(kind), "plan": plan, "rests_on": str(evidence), "decisions": count}
        for (kind, plan, evidence), count in one.unseen.items()
    ]
    return {
        **{field.name: getattr(one, field.name) for field in dataclasses.fields(one)},
        "modes": dict(one.modes),
        "rests": {str(evidence): count for evidence, count in one.rests.items()},
        "unseen": unseen,
    }


def _show(traffic: Traffic, forecasts: list[Forecast], checked: Check) -> None:
    table = Table(title=f"{about(traffic)}; {len(traffic.ran):,} ran to their end", title_justify="left")
    table.add_column("policy", overflow="fold")
    for name in ("tokens/s", "p50 s", "p95 s"):
        table.add_column(name, justify="right", no_wrap=True)
    narrow = console.width < _NARROW  # modes then go under the table
    if not narrow:
        table.add_column("modes", overflow="fold")
    for one in forecasts:
        figures = (f"{one.tokens_per_second:.1f}", f"{one.p50_seconds:.3f}", f"{one.p95_seconds:.3f}")
        table.add_row(escape(one.name), *figures, *([] if narrow else [_modes(one)]))
    console.print(table)
    for one in forecasts:
        if narrow:
            line(f"{escape(one.name)}: {_modes(one)}")
        _show_unseen(one)
    line(
        f"[dim]checked: each half of the steps, predicted from the other half as it ran, comes out {checked.bias:+.0%}"
        f" in all, and a single step within {checked.spread:.0%} (median)[/dim]"
    )
    line(
        "[dim]predicted for one stream: lengths, prompts, queues and the company in passes stay as recorded;"
        " diffusion's own text is taken to be as long[/dim]"
    )


def _modes(one: Forecast) -> str:
    refused = f", refused {one.refused:,}" if one.refused else ""
    return ", ".join(f"{mode} {share:.0%}" for mode, share in one.modes.items()) + refused


def _show_unseen(one: Forecast) -> None:
    count = sum(one.unseen.values())
    if not count:
        return
    line(f"[yellow]{escape(one.name)}: {count:,} of {one.steps:,} decisions rest on more than was recorded[/yellow]")
    for (kind, plan, evidence), number in sorted(one.unseen.items(), key=lambda item: -item[1])[:_LISTED]:
        line(f"  {number:,} × {kind} {escape(plan)}: from {evidence}")
