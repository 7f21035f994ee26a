"""What a step touches is on the model's device. PyTorch's `meta` device stands for a GPU: it computes nothing, and its
tensors refuse to meet those of a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.model import Model
from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import arrange
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.joint.layout import arrange as arrange_jointly
from triroute.engine.training.joint.layout import starts
from triroute.engine.training.joint.trainer import Objective as JointObjective
from triroute.engine.training.lora import Lora
from triroute.engine.training.loss import Choice
from triroute.engine.training.torch_model import TorchModel, tensors_of
from triroute.engine.training.trainer import Objective, Recipe

AWAY = torch.device("meta")


def test_an_adapter_learns_on_one_device(checkpoint: Checkpoint, model: Model, answers: list[Answer]) -> None:
    recipe = Recipe(rank=4, hydra=0, block_length=4)
    twin = TorchModel(checkpoint.weights, device=AWAY)
    lora = Lora(twin, recipe.targets, recipe.rank, recipe.hydra, recipe.scale, recipe.seed)
    clean = CleanStream(model, 0).get(answers[0])
    batch = arrange([(clean, [answers[0].prompt, answers[0].prompt + 5])], recipe.masks, AWAY)
    ids = torch.arange(twin.config.vocab, device=AWAY)
    choice = Choice(ids, twin.head, twin.embedding[:-1], torch.zeros(len(ids), device=AWAY), ids)
    loss, scores = Objective(twin, lora, recipe)(batch, choice)
    loss.backward()
    assert scores.device == AWAY
    assert {parameter.grad.device for parameter in lora.parameters.values() if parameter.grad is not None} == {AWAY}


def test_a_checkpoint_learns_on_one_device(checkpoint: Checkpoint, answers: list[Answer]) -> None:
    parameters = {name: nn.Parameter(tensor.to(AWAY)) for name, tensor in tensors_of(checkpoint.weights)}
    seeds, draw = starts(answers[0], 0, 8), np.random.default_rng(0)
    shares = np.full(len(seeds), 0.5)
    batch = arrange_jointly([(answers[0], seeds)], 8, checkpoint.weights.config.vocab, shares, 0.5, draw, AWAY)
    loss, *_ = JointObjective(TorchModel(checkpoint.weights, device=AWAY), parameters, 1.0)(batch)
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.device == AWAY for parameter in parameters.values())
