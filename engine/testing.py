"""For tests, ours and others': a tiny random checkpoint, and a way to run requests to their end."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triroute.engine.adapters import head_sizes
from triroute.engine.checkpoints.weights import Checkpoint, Layer, Weights
from triroute.engine.config import ModelConfig
from triroute.engine.engine import Engine
from triroute.engine.grammar import compile_format
from triroute.engine.tokenizer import Tokenizer, byte_alphabet
from triroute.engine.types import (
    Committed,
    Event,
    Failed,
    Finished,
    PassRecord,
    Request,
    SegmentKind,
    TokenLogprob,
    WrittenCall,
)
from triroute.kernels.cpu.dense import to_bfloat16
from triroute.kernels.cpu.hydra import Head
from triroute.kernels.cpu.linear import Linear

TINY = ModelConfig(
    layers=2,
    hidden=64,
    intermediate=96,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab=288,
    context_length=1024,
    rope_base=10_000.0,
    norm_eps=1e-5,
)
_SECONDS = 120


@dataclass(slots=True)
class Answer:
    """Everything that a request's stream said."""

    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    records: list[PassRecord] = field(default_factory=list)
    segments: list[tuple[SegmentKind, int]] = field(default_factory=list)  # kind and plan of each
    calls: list[WrittenCall] = field(default_factory=list)
    finished: Finished | None = None
    failed: Failed | None = None

    def take(self, event: Event) -> None:
        """Note an event."""
        match event:
            case Committed():
                self.token_ids += event.token_ids
                self.text += event.text
                self.logprobs += event.logprobs
                self.records.append(event.record)
                self.calls += [call for call in event.calls if isinstance(call, WrittenCall)]
                if event.record.segment == len(self.segments):
                    self.segments.append((event.kind, event.plan))
            case Finished():
                self.text += event.text
                self.finished = event
            case Failed():
                self.failed = event


def tiny_tokenizer() -> Tokenizer:
    """One token a byte, then control tokens; `<|im_end|>` ends a turn."""
    control = ["<|im_start|>", "<|im_end|>", *[f"<|unused_{number}|>" for number in range(30)]]
    tokens = [*byte_alphabet(), *control]
    numbers = range(256, len(tokens))
    return Tokenizer(tokens, set(numbers), [], "gpt-2", {tokens.index("<|im_end|>")})


def tiny_checkpoint(seed: int = 0) -> Checkpoint:
    """A random int4 model of two layers, that speaks bytes."""
    random = np.random.default_rng(seed)
    config = TINY

    def linear(out: int, inputs: int) -> Linear:
        quants = random.integers(0, 16, (out, inputs), dtype=np.uint8)
        scale = np.full((out, inputs // 32), 0.4 / inputs**0.5, dtype=np.float32)
        return Linear.int4(quants, scale, -7.5 * scale)

    def norm() -> NDArray[np.float32]:
        return np.ones(config.hidden, dtype=np.float32)

    def layer() -> Layer:
        both = config.heads + 2 * config.kv_heads
        return Layer(
            norm(),
            linear(both * config.head_dim, config.hidden),
            linear(config.hidden, config.heads * config.head_dim),
            norm(),
            linear(2 * config.intermediate, config.hidden),
            linear(config.hidden, config.intermediate),
        )

    embedding = random.standard_normal((config.vocab, config.hidden), dtype=np.float32)
    rows = to_bfloat16(np.concatenate([embedding, embedding.mean(axis=0, keepdims=True)]))
    layers = tuple(layer() for _ in range(config.layers))
    weights = Weights(config, rows, layers, norm(), Linear.int8(_peaked(embedding)))
    return Checkpoint(Path("tiny"), "tiny", "0" * 64, weights, tiny_tokenizer(), None)


def tiny_head(hidden: int = TINY.hidden, width: int = 16) -> Head:
    """A random head that moves the scores of drafts."""
    random = np.random.default_rng(1)
    shapes = head_sizes(width, hidden).values()
    return Head.of(*(random.standard_normal(shape, dtype=np.float32) / shape[1] ** 0.5 for shape in shapes))


def run_all(engine: Engine, requests: list[Request]) -> dict[str, Answer]:
    """Submit all at once; their answers, by request id, when the last has ended."""
    queues = [_submit(engine, request) for request in requests]
    return {request.request_id: _drain(events) for request, events in zip(requests, queues, strict=True)}


def run_one(engine: Engine, request: Request) -> Answer:
    """Submit one, alone."""
    return run_all(engine, [request])[request.request_id]


def _submit(engine: Engine, request: Request) -> queue.Queue[Event]:
    events: queue.Queue[Event] = queue.Queue()
    put: Callable[[Event], None] = events.put
    shape = request.response_format
    engine.submit(request, compile_format(shape, engine.tokenizer) if shape else None, put)
    return events


def _drain(events: queue.Queue[Event]) -> Answer:
    answer = Answer()
    while answer.finished is None and answer.failed is None:
        answer.take(events.get(timeout=_SECONDS))
    return answer


def _peaked(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """A head that is sure of some tokens, so that drafts are sometimes right."""
    return embedding * np.linspace(0.2, 1.5, embedding.shape[0], dtype=np.float32)[:, None]
