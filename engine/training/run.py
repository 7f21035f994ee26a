"""A whole run: answers, training, and the result; each part goes on where it was interrupted."""

from __future__ import annotations

import torch
from rich.console import Console

from triroute.engine.adapters import load_adapter
from triroute.engine.checkpoints import default_checkpoint, load_checkpoint
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.model import Model
from triroute.engine.training.answers import Answer
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.joint.checkpoint import export as export_joint
from triroute.engine.training.joint.measure import measure as measure_joint
from triroute.engine.training.joint.trainer import JointRecipe, JointTrainer
from triroute.engine.training.loop import Loop, Task
from triroute.engine.training.lora import Lora
from triroute.engine.training.material import gather
from triroute.engine.training.measure import measure
from triroute.engine.training.processes import ALONE, Group, joined
from triroute.engine.training.report import Report
from triroute.engine.training.settings import Settings
from triroute.engine.training.state import export
from triroute.engine.training.torch_model import TorchModel
from triroute.engine.training.trainer import Recipe, Trainer

ADAPTER_FILE = "adapter.safetensors"
_HELD_OUT_BYTES = 1 << 30


def run(settings: Settings, report: Report) -> None:
    """Train, and write the result, log.csv and loss.png. Raises EngineError."""
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # chances under 1e-38 are slow, and nothing
    with joined(settings.device) as group:
        checkpoint = load_checkpoint(settings.checkpoint or default_checkpoint())
        train(settings, checkpoint, report if group.leads else Report(Console(quiet=True)), group)


def train(settings: Settings, checkpoint: Checkpoint, report: Report, group: Group = ALONE) -> None:
    """`run` with a loaded checkpoint."""
    trained_on, held_out = gather(settings, checkpoint, report, group)
    if isinstance(settings.recipe, JointRecipe):
        task = _joint(settings, settings.recipe, checkpoint, trained_on, held_out, group)
        Loop(settings, task, checkpoint.sha256, report, group).go()
        return
    model = Model(checkpoint.weights, settings.threads)
    try:
        task = _adapter(settings, settings.recipe, checkpoint, model, trained_on, held_out, group)
        Loop(settings, task, checkpoint.sha256, report, group).go()
    finally:
        model.close()


def _adapter(
    settings: Settings,
    recipe: Recipe,
    checkpoint: Checkpoint,
    model: Model,
    trained_on: list[Answer],
    held_out: list[Answer],
    group: Group,
) -> Task:
    """A draft adapter: what draft rows look back on comes from the engine's `model`."""
    twin = TorchModel(checkpoint.weights, device=group.device)
    lora = Lora(twin, recipe.targets, recipe.rank, recipe.hydra, recipe.scale, recipe.seed)
    if settings.start is not None:
        lora.begin_with(load_adapter(settings.start, checkpoint.weights.config, checkpoint.sha256))
    trainer = Trainer(twin, lora, CleanStream(model, int(settings.cache_gb * 2**30)), trained_on, recipe, group)
    stream = CleanStream(model, _HELD_OUT_BYTES)
    return Task(
        trainer,
        lambda: export(settings.out / ADAPTER_FILE, trainer, checkpoint.sha256),
        lambda: measure(twin, trainer.exported(), stream, held_out, recipe.masks, settings.held_out_blocks),
    )


def _joint(
    settings: Settings,
    recipe: JointRecipe,
    checkpoint: Checkpoint,
    trained_on: list[Answer],
    held_out: list[Answer],
    group: Group,
) -> Task:
    """All weights, for autoregression and diffusion alike."""
    trainer = JointTrainer(checkpoint.weights, trained_on, recipe, group)
    return Task(
        trainer,
        lambda: export_joint(settings.out, trainer, checkpoint.sha256),
        lambda: measure_joint(trainer, held_out),
    )
