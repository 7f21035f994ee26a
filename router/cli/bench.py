"""`triroute bench`: speed, memory and overheads against peers, as ratios of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.router.errors import StartFailed


def bench(
    only: Annotated[list[str] | None, typer.Option(help="Run this measure alone; repeatable.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Interleaved rounds.", show_default="5, or 3 with --quick")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The main measures, shorter; under four minutes.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the ratios to a .png or .svg file.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when a target is missed.")] = False,
) -> None:
    """Measure this engine and its peers in interleaved rounds on this machine."""
    try:
        from triroute.bench.run import missed, run

        outcomes = run(only or (), rounds, quick, json, plot)
    except ModuleNotFoundError as error:
        raise StartFailed(f"{error.name} is missing; install the peers with `pip install 'triroute[bench]'`") from error
    if check and missed(outcomes):
        typer.echo(f"missed: {', '.join(missed(outcomes))}", err=True)
        raise typer.Exit(1)
