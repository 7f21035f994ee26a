"""What torchrun starts in test_processes: both recipes on a tiny model, each process writing what it came to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save_file

from triroute.engine.model import Model
from triroute.engine.testing import tiny_checkpoint
from triroute.engine.training.answers import read_answers
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.joint.trainer import JointRecipe, JointTrainer
from triroute.engine.training.lora import Lora
from triroute.engine.training.processes import Device, joined
from triroute.engine.training.report import Report
from triroute.engine.training.run import train
from triroute.engine.training.settings import Settings
from triroute.engine.training.torch_model import TorchModel
from triroute.engine.training.trainer import Recipe, Trainer

ADAPTER = Recipe(rank=8, hydra=16, block_length=4, widths=(3,), blocks=12, rate=0.01, mask_rate=0.01)
JOINT = JointRecipe(sequences=2, rate=3e-3)
STEPS = 16


def main(out: Path) -> None:
    torch.set_num_threads(1)
    checkpoint = tiny_checkpoint()
    with joined(Device.CPU) as group:
        settings = Settings(None, out, ADAPTER, None, steps=2, answers=24, max_tokens=32, public=False, threads=1)
        train(settings, checkpoint, Report(Console(quiet=True)), group)
        answers = read_answers(out / "answers.safetensors")
        model, twin = Model(checkpoint.weights, threads=1), TorchModel(checkpoint.weights)
        lora = Lora(twin, ADAPTER.targets, ADAPTER.rank, ADAPTER.hydra, ADAPTER.scale, seed=group.rank)
        trainers = {
            "adapter": Trainer(twin, lora, CleanStream(model, 1 << 28), answers, ADAPTER, group),
            "joint": JointTrainer(checkpoint.weights, answers, JOINT, group),
        }
        losses = {}
        for name, trainer in trainers.items():
            losses[name] = [trainer.step(index / STEPS).loss for index in range(STEPS)]
            save_file(trainer.updates.tensors(), out / f"{name}-{group.rank}.safetensors")
        (out / f"losses-{group.rank}.json").write_text(json.dumps(losses))
        model.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
