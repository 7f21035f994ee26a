"""Modes of decoding, their parameters, and the parts of an output that may have plans of their own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """One of the three ways a tri-mode checkpoint decodes."""

    AUTOREGRESSIVE = "autoregressive"
    DIFFUSION = "diffusion"
    SELF_SPECULATION = "self_speculation"


class Variant(StrEnum):
    """How self-speculation arranges its draft and verify passes."""

    LINEAR = "linear"
    QUADRATIC = "quadratic"


class DraftSource(StrEnum):
    """Who proposes draft tokens."""

    DIFFUSION = "diffusion"
    PROMPT_LOOKUP = "prompt_lookup"


class Verification(StrEnum):
    """When a draft token is accepted."""

    EXACT = "exact"
    RELAXED = "relaxed"


class SegmentKind(StrEnum):
    """What a part of the output is."""

    PROSE = "prose"
    CODE = "code"
    TOOL_CALL = "tool_call"
    THINKING = "thinking"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """A decoder and its parameters, complete. `block_length` 0 is auto; `variant` only with self-speculation."""

    mode: Mode
    variant: Variant | None = None
    block_length: int = 0
    confidence_threshold: float = 0.9
    max_steps: int = 32
    verification: Verification = Verification.EXACT
    draft_sources: frozenset[DraftSource] = frozenset(DraftSource)
    draft_threshold: float = 0.0
    fixed_steps: int = 0
