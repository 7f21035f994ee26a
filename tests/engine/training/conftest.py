"""A tiny model, and answers of its own to train on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.engine import Engine
from triroute.engine.model import Model
from triroute.engine.testing import tiny_checkpoint
from triroute.engine.training.answers import Answer, Recipe, collect
from triroute.engine.training.templates import make_prompts


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint()


@pytest.fixture(scope="session")
def model(checkpoint: Checkpoint) -> Iterator[Model]:
    model = Model(checkpoint.weights, threads=1)
    yield model
    model.close()


@pytest.fixture(scope="session")
def answers(tiny_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    path: Path = tmp_path_factory.mktemp("answers") / "answers.safetensors"
    recipe = Recipe((0.0,), max_tokens=48, max_prompt=400)
    return collect(tiny_engine, make_prompts(40, seed=1), recipe, path, lambda count, tokens: None)
