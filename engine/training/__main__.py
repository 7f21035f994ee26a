"""`triroute train-adapter`: options to a run, failures to messages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape

from triroute.engine.adapters import TARGETS
from triroute.engine.errors import EngineError
from triroute.engine.training.report import Report
from triroute.engine.training.run import Settings, run
from triroute.engine.training.trainer import Recipe
from triroute.kernels.cpu.team import available_cores

_DEFAULT, _RUN = Recipe(), Settings(None, Path(), Recipe())
_ANSWERS, _RECIPE, _BUDGET = "What to train on", "How", "How long"

Number = TypeVar("Number", int, float)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _numbers(text: str, kind: Callable[[str], Number], least: Number, name: str) -> tuple[Number, ...]:
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not numbers with commas between them", param_hint=name) from error
    if min(numbers) < least:
        raise typer.BadParameter(f"{min(numbers)} is less than {least}", param_hint=name)
    return numbers


@app.command()
def train_adapter(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="GGUF checkpoint.", show_default="the embedded SmolLM2-135M")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the adapter, its log, and all that a run needs to go on.")
    ] = Path("adapter"),
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes of training, answers not counted.", rich_help_panel=_BUDGET)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps instead of minutes.", rich_help_panel=_BUDGET)] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--restart",
            help="Go on with what the folder holds, or train anew from its answers.",
            rich_help_panel=_BUDGET,
        ),
    ] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads.", show_default="all cores", rich_help_panel=_BUDGET)
    ] = None,
    cache_gb: Annotated[
        float, typer.Option(min=0.0, help="Memory for keys and values of answers, GiB.", rich_help_panel=_BUDGET)
    ] = _RUN.cache_gb,
    answers: Annotated[
        int, typer.Option(min=1, help="How many answers the model writes.", rich_help_panel=_ANSWERS)
    ] = _RUN.answers,
    max_tokens: Annotated[
        int, typer.Option(min=16, help="Most tokens of an answer.", rich_help_panel=_ANSWERS)
    ] = _RUN.max_tokens,
    temperatures: Annotated[
        str, typer.Option(help="Temperatures of answers, in turn.", rich_help_panel=_ANSWERS)
    ] = ",".join(f"{t:g}" for t in _RUN.temperatures),
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSON lines with prompts.", show_default="made from templates", rich_help_panel=_ANSWERS),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines with prompts to measure on.", show_default="those that ship", rich_help_panel=_ANSWERS
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Adapter to begin with.", show_default="none", rich_help_panel=_RECIPE),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public/--no-public", help="Add public prompt sets, from PyPI.", rich_help_panel=_ANSWERS)
    ] = True,
    rank: Annotated[
        int, typer.Option(min=1, max=256, help="Rank of the pairs.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.rank,
    hydra: Annotated[
        int,
        typer.Option(min=0, max=1024, help="Width of the head that links drafts; 0: none.", rich_help_panel=_RECIPE),
    ] = _DEFAULT.hydra,
    targets: Annotated[
        str, typer.Option(help=f"Adapted linears: some of {', '.join(TARGETS)}.", rich_help_panel=_RECIPE)
    ] = ",".join(_DEFAULT.targets),
    block_length: Annotated[
        int,
        typer.Option(min=2, max=64, help="Rows of a draft pass: one exact, the others masks.", rich_help_panel=_RECIPE),
    ] = _DEFAULT.block_length,
    widths: Annotated[
        str, typer.Option(help="Masks of a block; each step draws one of these.", rich_help_panel=_RECIPE)
    ] = ",".join(map(str, _DEFAULT.widths)),
    sequences: Annotated[
        int, typer.Option(min=1, help="Answers a step.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.sequences,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks an answer.", rich_help_panel=_RECIPE)] = _DEFAULT.blocks,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.", rich_help_panel=_RECIPE)] = _DEFAULT.rate,
    loss: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="0: cross-entropy with the tokens that came; 1: with the model's distribution; between: both.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.distil,
    decay: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Weight of a slot over that of the one before.", rich_help_panel=_RECIPE),
    ] = _DEFAULT.decay,
    hard: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of blocks that begin behind a token that the model was unsure of.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.hard,
    average: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9999,
            help="Export a running mean with this decay; 0: the last parameters.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.average,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Draws prompts, answers, blocks and the first parameters.", rich_help_panel=_RECIPE),
    ] = 0,
) -> None:
    """Train a draft adapter for a checkpoint, on answers that the checkpoint writes itself.

    Ctrl-C keeps what was learned; the same command goes on from there.
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("give --minutes or --steps, not both", param_hint="--steps")
    wanted = tuple(part.strip() for part in targets.split(","))
    unknown = sorted(set(wanted) - set(TARGETS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(TARGETS)}", param_hint="--targets")
    recipe = Recipe(
        rank=rank,
        hydra=hydra,
        targets=tuple(target for target in TARGETS if target in wanted),
        block_length=block_length,
        widths=_numbers(widths, int, 1, "--widths"),
        sequences=sequences,
        blocks=blocks,
        rate=lr,
        mask_rate=lr,
        distil=loss,
        decay=decay,
        hard=hard,
        average=average,
        seed=seed,
    )
    settings = Settings(
        checkpoint,
        out,
        recipe,
        minutes=None if steps else minutes or _RUN.minutes,
        steps=steps,
        answers=answers,
        max_tokens=max_tokens,
        temperatures=_numbers(temperatures, float, 0.0, "--temperatures"),
        prompts=prompts,
        held_out=held_out,
        start=start,
        public=public,
        resume=resume,
        threads=threads or available_cores(),
        cache_gb=cache_gb,
    )
    report = Report()
    try:
        run(settings, report)
    except EngineError as error:
        report.console.print(f"[red]training stopped[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        report.say("interrupted; the same command goes on from here")
        sys.exit(130)
    report.say(f"wrote {out / 'adapter.safetensors'}")


if __name__ == "__main__":
    app(prog_name="triroute train-adapter")
