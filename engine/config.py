"""What an engine runs (`ModelConfig`, read from the checkpoint) and how (`EngineConfig`, set by the operator)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of a Llama-family transformer."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_length: int
    rope_base: float
    norm_eps: float

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.heads // self.kv_heads

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token in bf16, over all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * 2


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Limits of an engine. `threads` None takes every core; `cache_mb` bounds the KV cache, in MiB.

    `cache_pages` bounds it in pages instead, where it is not None.
    """

    threads: int | None = None
    cache_mb: int = 512
    cache_pages: int | None = None
    max_running: int = 32
    max_block_length: int = 64
    prefill_chunk: int = 64
