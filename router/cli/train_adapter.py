"""`triroute train-adapter`: hands over to the engine's trainer, whose options and help these are."""

from __future__ import annotations

import os
import sys

import typer

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def train_adapter(context: typer.Context) -> None:
    """Train a draft adapter, so that more drafts are accepted."""
    arguments = [sys.executable, "-m", "triroute.engine.training", *context.args]
    os.execv(sys.executable, arguments)  # the trainer gets our signals, and we its exit code
