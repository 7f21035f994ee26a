"""The head that links drafts: the same in training as in the engine, and begun with what an adapter has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from triroute.engine.adapters import head, load_adapter
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.errors import TrainingError
from triroute.engine.hydra import Hydra
from triroute.engine.model import Model
from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import arrange, beginnings
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.hydra import best, corrections
from triroute.engine.training.lora import Lora
from triroute.engine.training.state import export
from triroute.engine.training.torch_model import TorchModel
from triroute.engine.training.trainer import Recipe, Trainer

RECIPE = Recipe(rank=4, hydra=16, block_length=4, widths=(3,), sequences=1, blocks=4)


def _lora(twin: TorchModel, recipe: Recipe) -> Lora:
    return Lora(twin, recipe.targets, recipe.rank, recipe.hydra, recipe.scale, recipe.seed)


def test_training_and_engine_move_the_same_scores(
    checkpoint: Checkpoint, model: Model, answers: list[Answer], tmp_path: Path
) -> None:
    twin, stream = TorchModel(checkpoint.weights, torch.float32), CleanStream(model, 0)
    trainer = Trainer(twin, _lora(twin, RECIPE), stream, answers[:8], RECIPE)
    for index in range(20):
        trainer.step(index / 20)
    path = tmp_path / "adapter.safetensors"
    export(path, trainer, checkpoint.sha256)
    adapter = load_adapter(path, checkpoint.weights.config, checkpoint.sha256)
    linked = head(adapter)
    assert linked is not None
    answer = answers[0]
    batch = arrange([(stream.get(answer), [answer.prompt, answer.prompt + 5])], 3)
    states = torch.randn(len(batch.positions), twin.config.hidden, generator=torch.Generator().manual_seed(1))
    matrices = {f"hydra.{name}": torch.from_numpy(matrix.copy()) for name, matrix in adapter.hydra.items()}
    added = corrections(matrices, states, batch, twin.embedding)
    base = states @ twin.head.T
    expected = best(base, added, twin.embedding).tolist()
    hydra = Hydra(linked, checkpoint.weights.embedding)
    for block in range(2):
        rows = (batch.blocks == block).nonzero()[:, 0].tolist()
        trail = hydra.trail(states[rows].numpy())
        for row in rows:
            trail.step(int(batch.previous[row]))
            np.testing.assert_allclose(hydra.added, added[row].numpy(), atol=1e-4)
            scores = base[row].numpy().copy()
            trail.shift(scores, None)
            assert int(scores.argmax()) == expected[row]


def test_begins_with_an_adapter(checkpoint: Checkpoint, model: Model, answers: list[Answer], tmp_path: Path) -> None:
    twin = TorchModel(checkpoint.weights)
    trainer = Trainer(twin, _lora(twin, RECIPE), CleanStream(model, 0), answers[:8], RECIPE)
    trainer.step(0.5)
    path = tmp_path / "adapter.safetensors"
    export(path, trainer, checkpoint.sha256)
    adapter = load_adapter(path, checkpoint.weights.config, checkpoint.sha256)
    other = _lora(twin, Recipe(rank=4, hydra=16, seed=9))
    other.begin_with(adapter)
    for name, tensor in other.exported(other.parameters).items():
        assert torch.equal(tensor, trainer.exported()[name]), name
    with pytest.raises(TrainingError, match="has other sizes than these options"):
        _lora(twin, Recipe(rank=8, hydra=16)).begin_with(adapter)


def test_blocks_begin_behind_tokens_that_were_unsure(model: Model, answers: list[Answer]) -> None:
    answer = answers[0]
    clean = CleanStream(model, 0).get(answer)
    first, end = answer.prompt, len(answer.tokens) - 2
    even = beginnings(clean, first, end, 0.0)
    np.testing.assert_allclose(even, 1 / (end - first))
    chances = beginnings(clean, first, end, 1.0)
    unsure = 1 - np.exp(clean.log_probabilities[: end - first - 1, 0])
    assert chances.sum() == pytest.approx(1)
    assert np.argmax(chances[1:]) == np.argmax(unsure)
