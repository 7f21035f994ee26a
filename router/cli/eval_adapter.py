"""`triroute eval-adapter`: how often an adapter's drafts hold, by real decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.router.cli.options import Adapter, Checkpoint
from triroute.router.errors import StartFailed


def eval_adapter(
    prompts: Annotated[
        Path | None, typer.Option(help="JSON lines with prompts.", show_default="those that ship, never trained on")
    ] = None,
    tokens: Annotated[int, typer.Option(min=8, help="New tokens a prompt.")] = 96,
    limit: Annotated[int | None, typer.Option(min=1, help="Prompts a workload.", show_default="all")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture, .png or .svg.")] = None,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
) -> None:
    """Count accepted drafts and tokens a pass: by workload, slot, block length and temperature."""
    try:
        from triroute.bench.acceptance.run import Asked, run

        run(Asked(checkpoint, adapter, prompts, tokens, limit), json, plot)
    except ModuleNotFoundError as error:
        raise StartFailed(f"{error.name} is missing; install it with `pip install 'triroute[bench]'`") from error
    except ValueError as error:
        raise StartFailed(str(error)) from error
