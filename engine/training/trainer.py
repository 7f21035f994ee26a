"""The optimisation: random draft blocks of random answers, step after step, each step known from seed and number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import Batch, accepted, arrange, beginnings, places
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.hydra import corrections
from triroute.engine.training.lora import Lora
from triroute.engine.training.loss import Choice, Vocabulary, losses, slot_weights
from triroute.engine.training.processes import ALONE, Group
from triroute.engine.training.torch_model import TorchModel
from triroute.engine.training.updates import Updates


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained. `block_length` counts the exact row too, so a block has one mask less.

    A step draws one of `widths`, the masks of its blocks: narrow ones teach more a row, for most drafts that hold stand
    first, and wide ones keep masks used to company. It takes `sequences` answers, and from each as many rows as
    `blocks` blocks of full length have. Learning rates rise over `warmup` of the run, then
    fall along a cosine to a hundredth; `mask_rate` is the embedding's. `distil` is the loss's share of the model's own
    distribution, `decay` the weight of a slot over that of the one before. `average` is the decay of a running mean of
    the parameters that is exported in their place, where it is not 0. `hydra` is the width of the head that knows what
    was drafted before, 0 for none; `alone` is the share of the loss of the scores that it gets to choose from. A share
    `hard` of blocks begins behind tokens that the model was unsure of, as cycles begin behind drafts that failed.
    """

    rank: int = 24
    hydra: int = 256
    targets: tuple[str, ...] = ("qkv", "out", "gate_up", "down")
    block_length: int = 8
    widths: tuple[int, ...] = (2, 3, 3, 4, 7)
    sequences: int = 2
    blocks: int = 32
    rate: float = 3e-3
    mask_rate: float = 3e-3
    hydra_rate: float = 2e-3
    warmup: float = 0.03
    scale: float = 2.0
    distil: float = 0.5
    alone: float = 0.25
    hard: float = 0.5
    decay: float = 0.8
    weight_decay: float = 0.0
    clip: float = 1.0
    average: float = 0.0
    seed: int = 0

    @property
    def masks(self) -> int:
        return self.block_length - 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to: mean loss, rows, learning rate, and `figures` for the log, of which the first is shown."""

    loss: float
    rows: int
    rate: float
    figures: Mapping[str, float]


class Objective(nn.Module):
    """What a batch of draft blocks loses. A module, so that processes can share its gradients."""

    def __init__(self, model: TorchModel, lora: Lora, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.lora, self.recipe = model, lora, recipe
        self.trained = nn.ParameterList(lora.parameters.values())

    def forward(self, batch: Batch, choice: Choice) -> tuple[Tensor, Tensor]:
        """The loss, and the scores of chosen tokens [rows, n]."""
        recipe, lora = self.recipe, self.lora
        rows = lora.mask_embedding.expand(len(batch.positions), -1)
        states, _ = self.model.run(rows, batch.positions, batch.parts, lora.pairs())
        scores = functional.linear(states, choice.head)
        weights = slot_weights(batch, recipe.decay)
        if not recipe.hydra:
            return (losses(scores, batch, choice, recipe.distil) * weights).sum(), scores
        alone = losses(scores, batch, choice, 0.0)
        added = corrections(lora.parameters, states, batch, self.model.embedding)
        scores = scores + functional.linear(added, choice.embedding)
        whole = losses(scores, batch, choice, recipe.distil)
        return (torch.lerp(whole, alone, recipe.alone) * weights).sum(), scores


class Trainer:
    """Draws batches and updates an adapter. `progress` in 0..1 places a step on the learning rate's curve."""

    def __init__(
        self,
        model: TorchModel,
        lora: Lora,
        stream: CleanStream,
        answers: Sequence[Answer],
        recipe: Recipe,
        group: Group = ALONE,
    ) -> None:
        self.model, self.lora, self.stream, self.answers, self.recipe = model, lora, stream, answers, recipe
        self.group = group
        self.objective = group.shared(Objective(model, lora, recipe))
        self.updates = Updates(
            lora.parameters,
            lora.groups(recipe.rate, recipe.mask_rate, recipe.hydra_rate),
            warmup=recipe.warmup,
            clip=recipe.clip,
            weight_decay=recipe.weight_decay,
            average=recipe.average,
        )
        tokens = np.unique(np.concatenate([answer.tokens for answer in answers])).astype(np.int64)
        self.vocabulary = Vocabulary(torch.from_numpy(tokens).to(model.device), model.head, model.embedding[:-1])

    @property
    def steps(self) -> int:
        return self.updates.steps

    def step(self, progress: float) -> Step:
        """One update."""
        batch = self._batch()
        choice = self.vocabulary.choose(self.recipe.seed + self.steps)
        loss, scores = self.objective(batch, choice)
        factor = self.updates.apply(loss, progress)
        drafts = choice.ids[scores.detach().argmax(dim=-1)]
        held = accepted(batch, drafts).double().mean().item()
        return Step(loss.item(), len(batch.positions), self.recipe.rate * factor, {"accepted": held})

    def exported(self) -> dict[str, Tensor]:
        """Tensors of the adapter file: the means where there are any."""
        return self.lora.exported(self.updates.mean or self.lora.parameters)

    def _batch(self) -> Batch:
        recipe, step, group = self.recipe, self.steps, self.group
        draw = np.random.default_rng((recipe.seed, 1, step, *([group.rank] if group.rank else [])))
        masks = min(int(draw.choice(recipe.widths)), recipe.masks)
        chosen = []
        for answer in turn(self.answers, recipe.seed, step * group.size + group.rank, recipe.sequences):
            clean = self.stream.get(answer)
            first, end = places(clean, 2)
            count = min(recipe.blocks * recipe.masks // masks, end - first)
            chances = beginnings(clean, first, end, recipe.hard)
            chosen.append(
                (clean, (np.sort(draw.choice(end - first, count, replace=False, p=chances)) + first).tolist())
            )
        return arrange(chosen, masks, self.model.device)


def turn(answers: Sequence[Answer], seed: int, number: int, count: int) -> Iterator[Answer]:
    """The `count` answers whose turn it is at `number`: all of them, in a new order, before any comes again."""
    for place in range(number * count, (number + 1) * count):
        epoch, index = divmod(place, len(answers))
        order = np.random.default_rng((seed, 2, epoch)).permutation(len(answers))
        yield answers[order[index]]
