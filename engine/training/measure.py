"""How good drafts are: how many are accepted in a row where nobody trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from triroute.engine.training.answers import Answer
from triroute.engine.training.blocks import accepted, arrange, places
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.hydra import PREFIX, best, corrections
from triroute.engine.training.lora import pairs_of
from triroute.engine.training.torch_model import TorchModel


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Mean length of the agreeing prefix of greedy drafts, overall and by workload; chance of each slot to be reached
    and right."""

    accepted: float
    blocks: int
    by_workload: dict[str, float] = field(default_factory=dict)
    by_slot: tuple[float, ...] = ()

    @classmethod
    def of(cls, lengths: Mapping[str, Sequence[int]], slots: int) -> Acceptance:
        """From the lengths of the agreeing prefixes of each workload's blocks."""
        every = [length for several in lengths.values() for length in several]
        return cls(
            float(np.mean(every)),
            len(every),
            {workload: float(np.mean(several)) for workload, several in sorted(lengths.items())},
            tuple(float(np.mean([length > slot for length in every])) for slot in range(slots)),
        )


@torch.no_grad()
def measure(
    model: TorchModel,
    tensors: Mapping[str, Tensor],
    stream: CleanStream,
    answers: Sequence[Answer],
    masks: int,
    blocks: int,
) -> Acceptance:
    """Draft `masks` tokens at `blocks` evenly spread places of each answer, over the whole vocabulary.

    `tensors` are those of an adapter file.
    """
    hydra = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    pairs, embedding = pairs_of(tensors, model.config.layers, model.dtype), tensors["mask_embedding"]
    lengths: dict[str, list[int]] = defaultdict(list)
    for answer in answers:
        clean = stream.get(answer)
        first, end = places(clean, masks)
        starts = np.unique(np.linspace(first, end - 1, blocks).astype(int)).tolist()
        batch = arrange([(clean, starts)], masks, model.device)
        rows = embedding.expand(len(batch.positions), -1)
        states, _ = model.run(rows, batch.positions, batch.parts, pairs)
        scores = functional.linear(states, model.head)
        if hydra:
            added = corrections(hydra, states, batch, model.embedding)
            drafts = best(scores, added, model.embedding)
        else:
            drafts = scores.argmax(dim=-1)
        lengths[answer.workload] += accepted(batch, drafts).tolist()
    return Acceptance.of(lengths, masks)
