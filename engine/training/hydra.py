"""The part of an adapter that tells a draft what was drafted before it, in PyTorch; `engine/hydra.py` is its twin."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from triroute.engine.adapters import head_sizes
from triroute.engine.hydra import CANDIDATES, LEAST_SQUARE
from triroute.engine.training.blocks import Batch

PREFIX = "hydra."


def first_parameters(width: int, hidden: int, draw: torch.Generator) -> dict[str, Tensor]:
    """Parameters fp32 by their names in the file. They begin as a head that changes nothing."""

    sizes = head_sizes(width, hidden)
    first = {"out": torch.zeros(sizes["out"])}
    for name, scale in (("state", 0.3), ("token", 1.0), ("memory", 0.5)):
        first[name] = torch.randn(sizes[name], generator=draw) * scale * sizes[name][1] ** -0.5
    return {f"{PREFIX}{name}": first[name] for name in sizes}


def corrections(parameters: Mapping[str, Tensor], states: Tensor, batch: Batch, embedding: Tensor) -> Tensor:
    """What to add to `states` [rows, hidden] of a batch before the embedding [vocab, hidden] scores it.

    Every slot knows the token that stands in its place, and through its memory those of the slots before.
    """
    kind = states.dtype
    state, token, memory, out = (parameters[f"{PREFIX}{name}"].to(kind) for name in ("state", "token", "memory", "out"))
    inputs = functional.linear(states, state) + functional.linear(even(embedding[batch.previous]).to(kind), token)
    kept = torch.zeros(int(batch.blocks[-1]) + 1, memory.shape[0], dtype=kind, device=states.device)
    order, found = [], []
    for slot in range(int(batch.slots.max()) + 1):
        rows = (batch.slots == slot).nonzero()[:, 0]
        blocks = batch.blocks[rows]
        fresh = functional.silu(inputs[rows] + functional.linear(kept[blocks], memory))
        kept = kept.index_copy(0, blocks, fresh)
        order.append(rows)
        found.append(fresh)
    place = torch.argsort(torch.cat(order))
    return functional.linear(torch.cat(found)[place], out)


def best(base: Tensor, correction: Tensor, embedding: Tensor) -> Tensor:
    """The likeliest token of each row [rows], among the first candidates of its `base` scores [rows, vocab]."""
    top, ids = base.float().topk(min(CANDIDATES, base.shape[-1]), dim=-1)
    added = torch.einsum("rch,rh->rc", embedding[ids].float(), correction.float())
    return ids.gather(1, (top + added).argmax(dim=-1, keepdim=True))[:, 0]


def even(rows: Tensor) -> Tensor:
    """Rows of the embedding at the same length, fp32."""
    rows = rows.float()
    return rows * torch.rsqrt(rows.square().mean(dim=-1, keepdim=True) + LEAST_SQUARE)
