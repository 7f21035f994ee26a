"""What draft rows look back on: a sequence's keys, values and next-token distributions, computed once by the engine.

The engine's own kernels compute them, so training sees exactly the cache that drafting will.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triroute.engine.kv_cache import pages_for
from triroute.engine.model import Block, Model
from triroute.engine.training.answers import Answer
from triroute.kernels.cpu.attention import PAGE


@dataclass(frozen=True, slots=True)
class Clean:
    """A sequence as drafts see it.

    `past` holds keys and values [layers, 2, kv_heads, tokens, head_dim] in bf16. For the answer's tokens there are the
    `likely` ids int32 [answer, k] and their log-probabilities fp32 [answer, k] given all tokens before.
    """

    answer: Answer
    past: Tensor
    likely: NDArray[np.int32]
    log_probabilities: NDArray[np.float32]

    @property
    def bytes(self) -> int:
        return self.past.nbytes + self.likely.nbytes + self.log_probabilities.nbytes


class CleanStream:
    """Runs sequences through the engine's model, and keeps as many as fit into `most_bytes`."""

    def __init__(self, model: Model, most_bytes: int, likely: int = 32) -> None:
        self._model = model
        self._likely = min(likely, model.config.vocab)
        self._room = most_bytes
        self._kept: dict[int, Clean] = {}
        self._pages = 0
        self._storage: NDArray[Any] = np.empty(0)

    def get(self, answer: Answer) -> Clean:
        """The clean stream of an answer."""
        kept = self._kept.get(answer.index)
        if kept is not None:
            return kept
        clean = self._run(answer)
        if clean.bytes <= self._room:
            self._room -= clean.bytes
            self._kept[answer.index] = clean
        return clean

    def _run(self, answer: Answer) -> Clean:
        tokens = answer.tokens.tolist()
        pages = pages_for(len(tokens))
        if pages > self._pages:
            self._pages, self._storage = pages, self._model.new_cache(pages)
        asked = range(answer.prompt - 1, len(tokens) - 1)
        scores = self._model.run([Block(0, tokens, range(pages))], self._storage, asked)
        found = torch.from_numpy(scores)
        top, ids = found.topk(self._likely, dim=-1)
        chances = top - found.logsumexp(dim=-1, keepdim=True)
        return Clean(answer, self._read(len(tokens)), ids.to(torch.int32).numpy(), chances.numpy())

    def _read(self, tokens: int) -> Tensor:
        """Keys and values of the first slots, out of the pages."""
        config = self._model.config
        storage = self._storage
        numbers = torch.from_numpy(storage.view(np.int16) if storage.dtype == np.uint16 else storage)
        numbers = numbers.view(torch.bfloat16) if storage.dtype == np.uint16 else numbers.to(torch.bfloat16)
        pages = numbers.view(self._pages, config.layers, config.kv_heads, 2, -1)[: pages_for(tokens)].transpose(0, 1)
        shape = (config.layers, config.kv_heads, -1, config.head_dim)
        keys = pages[:, :, :, 0].unflatten(-1, (config.head_dim, PAGE)).permute(0, 2, 1, 4, 3).reshape(shape)
        values = pages[:, :, :, 1].unflatten(-1, (PAGE, config.head_dim)).transpose(1, 2).reshape(shape)
        return torch.stack((keys[:, :, :tokens], values[:, :, :tokens]), dim=1).contiguous()
