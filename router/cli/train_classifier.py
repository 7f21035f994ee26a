"""`triroute train-classifier`: weights from the kept steps, or from the public sources anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from triroute.router.cli.screen import console
from triroute.router.errors import InvalidRequest


def train_classifier(
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = Path("weights.json"),
    figures: Annotated[Path | None, typer.Option(help="Also write the figures, as JSON.")] = None,
    steps: Annotated[
        Path | None, typer.Option(help="Steps to train on.", show_default="the ones that ship: features, no text")
    ] = None,
    build: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="First build --steps from the public sources, kept in FOLDER.")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Train with what this sentence encoder says, too; takes --build."),
    ] = None,
) -> None:
    """Train the classifier of steps, and measure it on sessions and a framework that it has not seen."""
    from triroute.router.classifier.encoder import Encoder
    from triroute.router.classifier.training import steps as kept
    from triroute.router.classifier.training import train
    from triroute.router.classifier.training.build import build_steps

    if encoder is not None and build is None:
        raise typer.BadParameter("needs --build: the steps that ship hold no text", param_hint="--encoder")
    path = steps or (Path("steps.jsonl.gz") if build else kept.DATA)
    reader = Encoder(encoder) if encoder is not None else None
    built = None
    if build is not None:
        built = build_steps(build, path, lambda line: console.print(line, highlight=False), reader)
    try:
        rows = built if built is not None and reader is not None else kept.read(path)
        text, result = train.train(rows, encoder=reader.sha256 if reader is not None else "")
        train.write(text, out)
        if figures is not None:
            train.save(result, figures)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidRequest(f"{path}: {error}") from error
    console.print(f"{out}: revision {result['revision']}, {result['features']} features")
    for name in ("unseen_sessions", "held_out_frameworks"):
        console.print(_line(name.replace("_", " "), result[name]), highlight=False)


def _line(name: str, part: dict[str, Any]) -> str:
    baselines = part["baselines"]
    return (
        f"{name}: {part['steps']} steps, macro-F1 {part['macro_f1']:.3f} (rules alone {baselines['rules']:.3f}, "
        f"majority {baselines['majority']:.3f}), calibration error {part['calibration_error']:.3f}"
    )
