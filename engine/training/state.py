"""What a run needs to go on: parameters, both moments of the optimizer, where it stood."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from triroute.engine.adapters import FORMAT as ADAPTER_FORMAT
from triroute.engine.errors import TrainingError
from triroute.engine.training.files import read_tensors, write_bytes, write_tensors
from triroute.engine.training.trainer import Recipe, Trainer

_FORMAT = "triroute-training-1"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come."""

    steps: int = 0
    seconds: float = 0.0


def save_state(path: Path, trainer: Trainer, seconds: float, checkpoint_sha256: str) -> None:
    """Write all of it at once. Raises TrainingError. Steps draw from seed and number, so there is no other state."""
    tensors: dict[str, np.ndarray] = {}
    for name, parameter in trainer.lora.parameters.items():
        tensors[f"parameter.{name}"] = parameter.detach().numpy()
        for moment, value in trainer.optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}.{name}"] = value.numpy()
    for name, value in trainer.mean.items():
        tensors[f"mean.{name}"] = value.numpy()
    place = json.dumps(asdict(Place(trainer.steps, seconds)))
    metadata = {
        "format": _FORMAT,
        "recipe": describe(trainer.recipe),
        "checkpoint_sha256": checkpoint_sha256,
        "place": place,
    }
    write_tensors(path, tensors, metadata)


def load_state(path: Path, trainer: Trainer, checkpoint_sha256: str) -> Place:
    """Go on from a file. Raises TrainingError where it is damaged, or of a run with another recipe."""
    tensors, metadata = read_tensors(path, _FORMAT)
    if metadata.get("checkpoint_sha256") != checkpoint_sha256:
        raise TrainingError(f"{path} is of a run on another checkpoint; name another --out")
    if metadata.get("recipe") != describe(trainer.recipe):
        raise TrainingError(
            f"{path} is of a run with other options ({metadata.get('recipe')}); "
            "give the same ones, or name another --out"
        )
    try:
        place = Place(**json.loads(metadata["place"]))
        values = {name: torch.from_numpy(array) for name, array in tensors.items()}
        trainer.lora.load({name: values[f"parameter.{name}"] for name in trainer.lora.parameters})
        for name, parameter in trainer.lora.parameters.items():
            trainer.optimizer.state[parameter] = {moment: values[f"{moment}.{name}"].clone() for moment in _MOMENTS}
        trainer.mean = {name: values[f"mean.{name}"].clone() for name in trainer.mean}
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged: {error}; delete it to begin again") from error
    trainer.steps = place.steps
    return place


def export(path: Path, trainer: Trainer, checkpoint_sha256: str) -> None:
    """Write the adapter file. Raises TrainingError."""
    recipe = trainer.recipe
    tensors: dict[str, Tensor] = {name: value.contiguous() for name, value in trainer.exported().items()}
    metadata = {
        "format": ADAPTER_FORMAT,
        "checkpoint_sha256": checkpoint_sha256,
        "rank": str(recipe.rank),
        "hydra": str(recipe.hydra),
        "targets": ",".join(trainer.lora.targets),
        "block_length": str(recipe.block_length),
        "steps": str(trainer.steps),
        "seed": str(recipe.seed),
        "recipe": describe(recipe),
    }
    write_bytes(path, save(tensors, metadata))


def describe(recipe: Recipe) -> str:
    """A recipe as JSON, the same for the same recipe."""
    return json.dumps(asdict(recipe), sort_keys=True)
