"""`triroute bench`: speed against peers, as ratios of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.router.errors import StartFailed


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Under four minutes.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
) -> None:
    """Measure this engine and its peers in interleaved rounds on this machine."""
    try:
        from triroute.bench.run import run
    except ModuleNotFoundError as error:
        raise StartFailed(f"{error.name} is missing; install the peers with `pip install 'triroute[bench]'`") from error
    run(rounds=5 if quick else 11, tokens=128, report=json)
