"""All weights of a checkpoint, trained on both ways to write at once.

The loss is that of Nemotron-Labs-Diffusion and Efficient-DLM: cross-entropy of masked tokens over the share that was
masked, and a weight times the autoregressive cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from triroute.engine.checkpoints.weights import Weights
from triroute.engine.training.answers import Answer
from triroute.engine.training.joint.layout import Batch, arrange, starts
from triroute.engine.training.processes import ALONE, Group
from triroute.engine.training.torch_model import TorchModel, tensors_of
from triroute.engine.training.trainer import Step, turn
from triroute.engine.training.updates import Updates

_LEAST_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class JointRecipe:
    """How a checkpoint is trained. `block_length` counts tokens that a block proposes.

    A step takes `sequences` answers whole. `ar_weight` weighs the autoregressive loss. The learning rate rises over
    `warmup` of the run, then falls along a cosine to a hundredth. `blind` is the share of blocks that don't see their
    seed. Parameters are fp32; passes are computed in bf16 where `narrow`.
    """

    block_length: int = 8
    sequences: int = 4
    ar_weight: float = 1.0
    rate: float = 1e-4
    warmup: float = 0.05
    blind: float = 0.25
    weight_decay: float = 0.0
    clip: float = 1.0
    narrow: bool = True
    seed: int = 0


class Objective(nn.Module):
    """What a batch loses. A module, so that processes can share its gradients."""

    def __init__(self, model: TorchModel, parameters: dict[str, nn.Parameter], ar_weight: float) -> None:
        super().__init__()
        self.model, self.named, self.ar_weight = model, parameters, ar_weight
        self.trained = nn.ParameterList(parameters.values())

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loss, its diffusion part, its autoregressive part, and the likeliest tokens of noisy rows."""
        self.model.use(self.named.items())
        scores = scores_of(self.model, batch, torch.cat((batch.noisy, batch.clean)))
        lost = functional.cross_entropy(scores, torch.cat((batch.targets, batch.following)), reduction="none")
        masked = len(batch.noisy)
        diffusion = (lost[:masked] * batch.weights).sum() / batch.proposed
        autoregressive = lost[masked:].mean()
        return (
            diffusion + self.ar_weight * autoregressive,
            diffusion.detach(),
            autoregressive.detach(),
            scores[:masked].detach().argmax(dim=-1),
        )


class JointTrainer:
    """Draws batches and updates the weights. `progress` in 0..1 places a step on the learning rate's curve."""

    def __init__(self, weights: Weights, answers: Sequence[Answer], recipe: JointRecipe, group: Group = ALONE) -> None:
        self.answers, self.recipe, self.group = answers, recipe, group
        self.parameters = {name: nn.Parameter(tensor.to(group.device)) for name, tensor in tensors_of(weights)}
        self.model = TorchModel(weights, torch.bfloat16 if recipe.narrow else torch.float32, group.device)
        self.mask_id = weights.config.vocab
        self.objective = group.shared(Objective(self.model, self.parameters, recipe.ar_weight))
        self.updates = Updates(
            self.parameters,
            [{"params": list(self.parameters.values()), "lr": recipe.rate}],
            warmup=recipe.warmup,
            clip=recipe.clip,
            weight_decay=recipe.weight_decay,
        )

    def step(self, progress: float) -> Step:
        """One update."""
        batch = self._batch()
        loss, diffusion, autoregressive, guesses = self.objective(batch)
        factor = self.updates.apply(loss, progress)
        right = (guesses == batch.targets).double().sum().item() / max(len(guesses), 1)
        figures = {"guessed": right, "diffusion_loss": diffusion.item(), "ar_loss": autoregressive.item()}
        return Step(loss.item(), len(batch.tokens), self.recipe.rate * factor, figures)

    def _batch(self) -> Batch:
        recipe, group, number = self.recipe, self.group, self.updates.steps * self.group.size + self.group.rank
        draw = np.random.default_rng((recipe.seed, 4, number))
        chosen = []
        for answer in turn(self.answers, recipe.seed, number, recipe.sequences):
            most = min(recipe.block_length, len(answer.tokens) - answer.prompt)
            chosen.append((answer, starts(answer, int(draw.integers(most)), recipe.block_length)))
        blocks = sum(len(seeds) for _, seeds in chosen)
        # spread evenly over 0 to 1, so that a batch has blocks of every noise
        even = (draw.random() + draw.permutation(blocks)) / blocks % 1
        shares = _LEAST_SHARE + (1 - _LEAST_SHARE) * even
        return arrange(chosen, recipe.block_length, self.mask_id, shares, recipe.blind, draw, group.device)


def scores_of(model: TorchModel, batch: Batch, rows: Tensor) -> Tensor:
    """Scores fp32 [n, vocab] of some rows int64 [n] of a batch."""
    states, _ = model.run(model.embedding[batch.tokens].float(), batch.positions, batch.parts)
    return functional.linear(states[rows], model.head).float()
