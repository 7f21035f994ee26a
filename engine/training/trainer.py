"""The optimisation: random draft blocks of random answers, step after step, each step known from seed and number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import Batch, accepted, arrange, beginnings, places
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.hydra import corrections
from triroute.engine.training.lora import Lora
from triroute.engine.training.loss import Vocabulary, losses, slot_weights
from triroute.engine.training.torch_model import TorchModel


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
    """What one step came to: mean loss, drafts accepted in a row, mask rows, learning rate."""

    loss: float
    accepted: float
    rows: int
    rate: float


class Trainer:
    """Holds the parameters and their optimizer. `progress` in 0..1 places a step on the learning rate's curve."""

    def __init__(
        self, model: TorchModel, lora: Lora, stream: CleanStream, answers: Sequence[Answer], recipe: Recipe
    ) -> None:
        self.model, self.lora, self.stream, self.answers, self.recipe = model, lora, stream, answers, recipe
        self.steps = 0
        self.optimizer = torch.optim.AdamW(
            lora.groups(recipe.rate, recipe.mask_rate, recipe.hydra_rate),
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        for group in self.optimizer.param_groups:
            group["peak"] = group["lr"]
        self.mean = {name: value.detach().clone() for name, value in lora.parameters.items()} if recipe.average else {}
        tokens = np.unique(np.concatenate([answer.tokens for answer in answers])).astype(np.int64)
        self.vocabulary = Vocabulary(torch.from_numpy(tokens), model.head, model.embedding[:-1])

    def step(self, progress: float) -> Step:
        """One update."""
        batch = self._batch()
        factor = self._factor(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        rows = self.lora.mask_embedding.expand(len(batch.positions), -1)
        states, _ = self.model.run(rows, batch.positions, batch.parts, self.lora.pairs())
        choice = self.vocabulary.choose(self.recipe.seed + self.steps)
        scores = functional.linear(states, choice.head)
        weights = slot_weights(batch, self.recipe.decay)
        if self.recipe.hydra:
            alone = losses(scores, batch, choice, 0.0)
            added = corrections(self.lora.parameters, states, batch, self.model.embedding)
            scores = scores + functional.linear(added, choice.embedding)
            whole = losses(scores, batch, choice, self.recipe.distil)
            loss = (torch.lerp(whole, alone, self.recipe.alone) * weights).sum()
        else:
            loss = (losses(scores, batch, choice, self.recipe.distil) * weights).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.lora.parameters.values(), self.recipe.clip)
        self.optimizer.step()
        self.steps += 1
        # a mean that began with the untrained parameters forgets them sooner
        share = 1 - min(self.recipe.average, self.steps / (self.steps + 10))
        for name, value in self.mean.items():
            value.lerp_(self.lora.parameters[name].detach(), share)
        drafts = choice.ids[scores.detach().argmax(dim=-1)]
        held = accepted(batch, drafts).double().mean().item()
        return Step(loss.item(), held, len(batch.positions), self.recipe.rate * factor)

    def exported(self) -> dict[str, Tensor]:
        """Tensors of the adapter file: the means where there are any."""
        return self.lora.exported(self.mean or self.lora.parameters)

    def _batch(self) -> Batch:
        recipe, step = self.recipe, self.steps
        draw = np.random.default_rng((recipe.seed, 1, step))
        masks = min(int(draw.choice(recipe.widths)), recipe.masks)
        chosen = []
        for place in range(step * recipe.sequences, (step + 1) * recipe.sequences):
            epoch, index = divmod(place, len(self.answers))
            order = np.random.default_rng((recipe.seed, 2, epoch)).permutation(len(self.answers))
            clean = self.stream.get(self.answers[order[index]])
            first, end = places(clean, 2)
            count = min(recipe.blocks * recipe.masks // masks, end - first)
            chances = beginnings(clean, first, end, recipe.hard)
            chosen.append(
                (clean, (np.sort(draw.choice(end - first, count, replace=False, p=chances)) + first).tolist())
            )
        return arrange(chosen, masks)

    def _factor(self, progress: float) -> float:
        if progress < self.recipe.warmup:
            return max(progress / self.recipe.warmup, 0.02)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
