"""Draft blocks at random places of clean sequences, as rows of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triroute.engine.training.clean import Clean
from triroute.engine.training.torch_model import CPU, Part


class Blocks(Protocol):
    """Rows of draft blocks, as `Batch` has them."""

    @property
    def blocks(self) -> Tensor: ...
    @property
    def slots(self) -> Tensor: ...
    @property
    def targets(self) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Mask rows of many blocks, block after block, slot after slot.

    Per row int64: `positions`, `blocks` (numbered over the batch), `slots` (0 first in its block), the `previous`
    token, which stands where the mask does, and the token `targets` that should come, with its `likely` alternatives
    [rows, k] and their log-probabilities fp32.
    """

    parts: list[Part]
    positions: Tensor
    blocks: Tensor
    slots: Tensor
    previous: Tensor
    targets: Tensor
    likely: Tensor
    log_probabilities: Tensor


def places(clean: Clean, masks: int) -> tuple[int, int]:
    """First and one past the last position that a block of so many masks may begin at."""
    answer = clean.answer
    return answer.prompt, max(answer.prompt + 1, len(answer.tokens) - masks)


def beginnings(clean: Clean, first: int, end: int, hard: float) -> NDArray[np.float64]:
    """Chances [end - first] of blocks to begin there: even, but a share `hard` by how unsure the token before was."""
    before = np.arange(first, end) - 1 - clean.answer.prompt
    unsure = np.where(before < 0, 1.0, 1.0 - np.exp(clean.log_probabilities[:, 0])[before]) + 1e-3
    chances = (1 - hard) / len(unsure) + hard * unsure / unsure.sum()
    evened: NDArray[np.float64] = chances / chances.sum()
    return evened


def arrange(chosen: Sequence[tuple[Clean, Sequence[int]]], masks: int, device: torch.device = CPU) -> Batch:
    """Blocks of at most `masks` rows at the given positions of each sequence; rows past its end are left out.

    A block at position P sees the tokens before P, and itself; row i proposes the token for P + i + 1.
    """
    parts, positions, blocks, slots, previous, targets, likely, chances = [], [], [], [], [], [], [], []
    row = block = 0
    for clean, starts in chosen:
        answer = clean.answer
        length = len(answer.tokens)
        widths = [min(masks, length - 1 - start) for start in starts]
        own_slots = np.concatenate([np.arange(width) for width in widths])
        own_blocks = np.repeat(np.arange(len(starts)), widths)
        own_starts = np.repeat(np.array(starts), widths)
        rows = len(own_slots)
        seen = np.concatenate(
            [np.arange(length) < own_starts[:, None], own_blocks[:, None] == own_blocks], axis=1, dtype=bool
        )
        past = [(layer[0], layer[1]) for layer in clean.past.to(device)]
        parts.append(Part(row, row + rows, torch.from_numpy(seen).to(device), past))
        wanted = own_starts + own_slots + 1
        positions.append(own_starts + own_slots)
        blocks.append(own_blocks + block)
        slots.append(own_slots)
        previous.append(answer.tokens[wanted - 1])
        targets.append(answer.tokens[wanted])
        likely.append(clean.likely[wanted - answer.prompt])
        chances.append(clean.log_probabilities[wanted - answer.prompt])
        row, block = row + rows, block + len(starts)

    def long(arrays: list[NDArray[np.int64]]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)

    return Batch(
        parts,
        long(positions),
        long(blocks),
        long(slots),
        long(previous),
        long(targets),
        long(likely),
        torch.from_numpy(np.concatenate(chances)).to(device),
    )


def accepted(batch: Blocks, drafts: Tensor) -> Tensor:
    """Length int64 [blocks] of each block's prefix of `drafts` [rows] that are the targets."""
    right = drafts == batch.targets
    wrong_before = torch.cumsum(~right, dim=0)
    first = batch.slots == 0
    base = (wrong_before - (~right).long())[first][batch.blocks]
    held = (wrong_before == base).long()
    lengths = torch.zeros(int(batch.blocks[-1]) + 1, dtype=torch.int64, device=drafts.device)
    return lengths.index_add_(0, batch.blocks, held)
