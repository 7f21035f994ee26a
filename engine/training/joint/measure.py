"""How far one look goes: blocks that are all masks, on answers that nobody trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import accepted
from triroute.engine.training.joint.layout import arrange, starts
from triroute.engine.training.joint.trainer import JointTrainer, scores_of
from triroute.engine.training.measure import Acceptance


@torch.no_grad()
def measure(trainer: JointTrainer, answers: Sequence[Answer]) -> Acceptance:
    """Propose all tokens of each block at once, and count those that are right up to the first that is not."""
    model, recipe = trainer.model, trainer.recipe
    model.use(trainer.parameters.items())
    lengths: dict[str, list[int]] = defaultdict(list)
    for answer in answers:
        seeds = starts(answer, 0, recipe.block_length)
        batch = arrange(
            [(answer, seeds)],
            recipe.block_length,
            trainer.mask_id,
            np.ones(len(seeds)),
            0.0,
            np.random.default_rng(0),
            model.device,
        )
        drafts = scores_of(model, batch, batch.noisy).argmax(dim=-1)
        lengths[answer.workload] += accepted(batch, drafts).tolist()
    return Acceptance.of(lengths, recipe.block_length)
