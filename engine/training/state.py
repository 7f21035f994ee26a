"""What a run needs to go on: parameters, both moments of the optimizer, where it stood."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from triroute.engine.adapters import FORMAT as ADAPTER_FORMAT
from triroute.engine.errors import TrainingError
from triroute.engine.training.files import read_tensors, write_bytes, write_tensors
from triroute.engine.training.trainer import Trainer
from triroute.engine.training.updates import Updates

_FORMAT = "triroute-training-1"


class Trainable(Protocol):
    """What has a state: a recipe, a dataclass, and parameters that are updated."""

    @property
    def recipe(self) -> Any: ...
    @property
    def updates(self) -> Updates: ...


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come."""

    steps: int = 0
    seconds: float = 0.0


def save_state(path: Path, trainer: Trainable, seconds: float, checkpoint_sha256: str) -> None:
    """Write all of it at once. Raises TrainingError. Steps draw from seed and number, so there is no other state."""
    tensors = {name: tensor.numpy() for name, tensor in trainer.updates.tensors().items()}
    place = json.dumps(asdict(Place(trainer.updates.steps, seconds)))
    metadata = {
        "format": _FORMAT,
        "recipe": describe(trainer.recipe),
        "checkpoint_sha256": checkpoint_sha256,
        "place": place,
    }
    write_tensors(path, tensors, metadata)


def load_state(path: Path, trainer: Trainable, checkpoint_sha256: str) -> Place:
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
        trainer.updates.load({name: torch.from_numpy(array) for name, array in tensors.items()}, place.steps)
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged: {error}; delete it to begin again") from error
    return place


def export(path: Path, trainer: Trainer, checkpoint_sha256: str) -> None:
    """Write the adapter file. Raises TrainingError."""
    recipe = trainer.recipe
    tensors: dict[str, Tensor] = {name: value.cpu().contiguous() for name, value in trainer.exported().items()}
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


def describe(recipe: Any) -> str:
    """A recipe, a dataclass, as JSON, the same for the same recipe."""
    return json.dumps(asdict(recipe), sort_keys=True)
