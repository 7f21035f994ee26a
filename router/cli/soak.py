"""`triroute soak`: promise 1 under random load, for as long as one likes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.router.errors import StartFailed


def soak(
    cases: Annotated[int, typer.Option(min=1, help="How many random cases to run.")] = 2000,
    seed: Annotated[int, typer.Option(help="Draws other cases.")] = 0,
    model: Annotated[str, typer.Option(help="tiny, default, or a GGUF file.")] = "tiny",
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
) -> None:
    """Check that every exact mode gives the text of a solitary autoregressive run, in any company.

    A case is up to five requests with random prompts, decoders, samplings, grammars, joins, aborts and resumes, on an
    engine with a random cache. Ends with 1 and the smallest failing case where a text differs.
    """
    try:
        from triroute.bench.soak.run import run
    except ModuleNotFoundError as error:
        raise StartFailed(f"{error.name} is missing; install it with `pip install 'triroute[bench]'`") from error
    try:
        held = run(model, cases, seed, json)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--model") from error
    if not held:
        raise typer.Exit(1)
