"""A sentence encoder from a folder, as Hugging Face lays them out. Optional: it takes milliseconds."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triroute.router.errors import StartFailed

Vectors = NDArray[np.float32]

_MOST_TOKENS = 192  # of a text; the rest is not looked at
_MOST_KNOWN = 1_024  # texts whose vectors are kept: system prompts and tools come again and again
_BATCH = 32
_WEIGHTS = "model.safetensors"


class Encoder:
    """BERT-like, with its vectors the mean over a text's tokens, of length 1. `sha256` names its weights."""

    def __init__(self, folder: Path) -> None:
        """Raises StartFailed for a folder that holds none."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self.sha256 = hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._net: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        except (OSError, ValueError, KeyError) as error:
            raise StartFailed(f"{folder} is no sentence encoder: {error}; name a folder with {_WEIGHTS}") from error
        self._torch: Any = torch
        self.width = int(self._net.config.hidden_size)
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()  # a tokenizer serves one thread at a time

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[texts, width]; zeros for an empty text."""
        with self._lock:
            fresh = sorted({text for text in texts if text and text not in self._known}, key=len)
            found = dict(zip(fresh, self._encode(fresh), strict=True))
            found |= {text: self._known[text] for text in texts if text in self._known}
            for text, vector in found.items():
                self._known[text] = vector
                self._known.move_to_end(text)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        nothing = np.zeros(self.width, np.float32)
        return np.stack([found.get(text, nothing) for text in texts])

    def _encode(self, texts: Sequence[str]) -> list[Vectors]:
        made: list[Vectors] = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=_MOST_TOKENS,
                return_tensors="pt",
            )
            with self._torch.inference_mode():
                states = self._net(**batch).last_hidden_state
                mask = batch["attention_mask"][..., None]
                means = (states * mask).sum(1) / mask.sum(1)
                made += list(self._torch.nn.functional.normalize(means).numpy().astype(np.float32))
        return made
