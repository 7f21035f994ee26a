"""Clean and noisy streams side by side, as rows of one pass (block diffusion, Arriola et al., arXiv:2503.09573).

The clean stream is the sequence itself: causal, and what autoregression learns from. The noisy one is cut into blocks
of which some tokens are masked: a block sees the clean tokens before it, and itself in both directions. As in decoding,
the row before a token proposes it, so that a block begins at the last token that is known, its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triroute.engine.training.answers import Answer
from triroute.engine.training.torch_model import Part


@dataclass(frozen=True, slots=True)
class Batch:
    """All rows' `tokens` and `positions`, int64 [rows], and which of them are asked for what.

    `clean` int64 [n] are rows that say the next token, `following` int64 [n] which it is. `noisy` int64 [m] are rows
    that propose a masked token, `targets` int64 [m] which it is, `weights` fp32 [m] one over the share of its block
    that was to be masked; `blocks` and `slots` int64 [m] number their blocks over the batch, and their places within.
    `proposed` counts the tokens of all blocks, masked or not.
    """

    tokens: Tensor
    positions: Tensor
    parts: list[Part]
    clean: Tensor
    following: Tensor
    noisy: Tensor
    targets: Tensor
    weights: Tensor
    blocks: Tensor
    slots: Tensor
    proposed: int


def starts(answer: Answer, offset: int, block_length: int) -> NDArray[np.int64]:
    """Positions of the seeds of an answer's blocks, the first one `offset` after the prompt's last token."""
    return np.arange(answer.prompt - 1 + offset, len(answer.tokens) - 1, block_length)


def arrange(
    chosen: Sequence[tuple[Answer, NDArray[np.int64]]],
    block_length: int,
    mask_id: int,
    shares: NDArray[np.float64],
    blind: float,
    draw: np.random.Generator,
    device: torch.device,
) -> Batch:
    """Answers with the seeds of their blocks.

    Block i of the batch has each token masked with chance `shares[i]`. A share `blind` of the blocks has a mask in the
    seed's place as well: so self-speculation drafts, which knows that token no sooner than its draft.
    """
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("tokens", "positions", "clean", "following", "noisy", "targets", "blocks", "slots")
    }
    parts: list[Part] = []
    row = block = proposed = 0
    for answer, seeds in chosen:
        length = len(answer.tokens) - 1  # nothing looks at the last token
        widths = np.minimum(block_length, length - seeds)
        own = np.repeat(np.arange(len(seeds)), widths)
        slots = np.concatenate([np.arange(width) for width in widths])
        places = seeds[own] + slots
        masked = draw.random(len(places)) < shares[own + block]
        hidden = np.concatenate(([False], masked[:-1]))
        hidden[slots == 0] = draw.random(len(seeds)) < blind
        shown = np.where(hidden, mask_id, answer.tokens[places])
        rows = length + len(places)
        seen = np.zeros((rows, rows), dtype=bool)
        seen[:length, :length] = np.tri(length, dtype=bool)
        seen[length:, :length] = np.arange(length) < seeds[own][:, None]
        seen[length:, length:] = own == own[:, None]
        parts.append(Part(row, row + rows, torch.from_numpy(seen).to(device)))
        asked = np.arange(answer.prompt - 1, length)
        for name, numbers in (
            ("tokens", np.concatenate((answer.tokens[:length], shown))),
            ("positions", np.concatenate((np.arange(length), places))),
            ("clean", row + asked),
            ("following", answer.tokens[asked + 1]),
            ("noisy", row + length + np.flatnonzero(masked)),
            ("targets", answer.tokens[places + 1][masked]),
            ("blocks", (own + block)[masked]),
            ("slots", slots[masked]),
        ):
            columns[name].append(numbers)
        row, block, proposed = row + rows, block + len(seeds), proposed + len(places)
    whole = {name: np.concatenate(numbers).astype(np.int64) for name, numbers in columns.items()}
    weights = torch.from_numpy((1 / shares[whole["blocks"]]).astype(np.float32)).to(device)
    tensors = {name: torch.from_numpy(numbers).to(device) for name, numbers in whole.items()}
    return Batch(**tensors, parts=parts, weights=weights, proposed=proposed)
