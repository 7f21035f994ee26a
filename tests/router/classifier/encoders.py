"""A tiny sentence encoder in a folder, as Hugging Face lays them out."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

_WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] write a poem plan the move to new flat function that adds code ."


def make(folder: Path, seed: int = 0) -> Path:
    """Its path. Weights by chance, of the seed."""
    folder.mkdir()
    torch.manual_seed(seed)
    (folder / "vocab.txt").write_text("\n".join(_WORDS.split()))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(_WORDS.split()), **sizes)).save_pretrained(folder)
    return folder
