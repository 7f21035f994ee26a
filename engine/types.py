"""The engine's domain: what is asked, what is reported. Plain data, no gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class ModeName(StrEnum):
    """A decoder."""

    AUTOREGRESSIVE = "autoregressive"
    DIFFUSION = "diffusion"
    LINEAR_SPECULATION = "linear_speculation"
    QUADRATIC_SPECULATION = "quadratic_speculation"


class DraftSource(IntEnum):
    """Who proposed a draft token. Numbers as in decoding.proto."""

    DIFFUSION = 1
    PROMPT_LOOKUP = 2
    GRAMMAR = 3


class PassKind(IntEnum):
    """Why a pass ran. Numbers as in decoding.proto."""

    PREFILL = 1
    DECODE = 2
    DRAFT = 3
    VERIFY = 4
    DENOISE = 5
    REFRESH = 6
    FORCED = 7


class FinishReason(IntEnum):
    """Why a request ended well. Numbers as in decoding.proto."""

    STOP = 1
    LENGTH = 2
    ABORTED = 3


class SegmentKind(IntEnum):
    """What a part of the output is. Numbers as in decoding.proto."""

    UNSPECIFIED = 0
    PROSE = 1
    CODE = 2
    TOOL_CALL = 3
    THINKING = 4
    PLAN = 5


ALL_SOURCES = frozenset({DraftSource.DIFFUSION, DraftSource.PROMPT_LOOKUP})


@dataclass(frozen=True, slots=True)
class Plan:
    """A decoder and its parameters.

    `block_length` counts tokens; 0 lets the engine choose by measured cost. `confidence_threshold` is a probability
    that diffusion fixes a slot at, `draft_threshold` one that speculation drafts again below (0: it drafts once);
    `max_steps` bounds the passes of either. With `fixed_steps` a diffusion block takes exactly so many, and no
    threshold. `draft_sources` may hold DIFFUSION and PROMPT_LOOKUP. Where verification is `relaxed`, speculation keeps
    drafts that are likely, too: that is lossy.
    """

    mode: ModeName = ModeName.AUTOREGRESSIVE
    block_length: int = 8
    confidence_threshold: float = 0.9
    max_steps: int = 32
    draft_sources: frozenset[DraftSource] = ALL_SOURCES
    draft_threshold: float = 0.0
    fixed_steps: int = 0
    relaxed: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; fields as in chat.proto.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 keep every token. `logit_bias` pairs token and value.
    `logprobs` None asks for none, 0 for those of the tokens drawn, n for those of the n likeliest as well.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None


class FormatKind(StrEnum):
    """What constrains the output."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """A shape that the output must have: schema, expression or grammar text."""

    kind: FormatKind
    source: str


Parameters = Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, tokenized.

    `resume_ids` are output tokens that an interrupted run has committed, `resume_characters` the code points of
    text that it delivered: neither is sent again. `segments` has other plans for parts of the output. Where it
    `may_call` tools, the output may also be nothing but a call. `parameters` has the JSON types that each parameter of
    each tool may have. `trace_id` (32 hex digits) names it in the log.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    plan: Plan = Plan()
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    resume_ids: tuple[int, ...] = ()
    resume_characters: int = 0
    segments: tuple[tuple[SegmentKind, Plan], ...] = ()
    may_call: bool = False
    parameters: Parameters = field(default_factory=dict)
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probability of a token and of the likeliest ones in its place, before penalties, temperature and filters."""

    token: int
    log_probability: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass did for one request; fields as in decoding.proto."""

    index: int
    kind: PassKind
    width: int
    start_us: int
    duration_us: int
    batch: int
    proposed: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()
    proposed_behind: tuple[int, ...] = ()
    fixed_slots: tuple[int, ...] = ()
    accepted: int = 0
    rejected: tuple[int, ...] = ()
    sources: tuple[DraftSource, ...] = ()
    committed: tuple[int, ...] = ()
    forced: tuple[int, ...] = ()
    segment: int = 0
    lossy: tuple[int, ...] = ()
    other_rows: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of a request; fields as in decoding.proto."""

    prompt_tokens: int
    completion_tokens: int
    drafted: int
    accepted: int
    rejected: int
    passes: int
    prefill_passes: int
    cached_prompt_tokens: int = 0
    preemptions: int = 0
    forced: int = 0
    lossy: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, microseconds; fields as in decoding.proto."""

    queue_us: int
    prefill_us: int
    decode_us: int
    first_token_us: int


@dataclass(frozen=True, slots=True)
class Started:
    """The request was admitted."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class CallPiece:
    """What came of a tool call while it is written: its name alone, then text of its arguments, up to token `end`.

    `number` says which of the calls that the output began, from 0. One that breaks off later has a number, too.
    """

    name: str
    arguments: str
    end: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A tool call in the output: `arguments` is JSON text, the tokens from `first` to before `end` hold it."""

    name: str
    arguments: str
    first: int
    end: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """What was opened as a tool call at token `first`, and turned out before `end` to be none that can be read."""

    first: int
    end: int


CallEvent = CallPiece | WrittenCall | BrokenCall
Stretch = tuple[int, int]  # characters of the output's text: the first, and the one after the last


@dataclass(frozen=True, slots=True)
class Committed:
    """Tokens and text that became final, and the pass behind them; log-probabilities of the tokens where asked for.

    `plan` ran in a segment of that `kind`: 0 is the request's, n the n-th of its segments. `calls`: what came of tool
    calls, in order; `speech`: what is now known to be outside of them.
    """

    token_ids: tuple[int, ...]
    text: str
    record: PassRecord
    logprobs: tuple[TokenLogprob, ...] = ()
    kind: SegmentKind = SegmentKind.UNSPECIFIED
    plan: int = 0
    calls: tuple[CallEvent, ...] = ()
    speech: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a request."""

    reason: FinishReason
    usage: Usage
    timings: Timings
    text: str = ""
    speech: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a request by a fault, with a message for people.

    `field` is where the request has what can't go on; empty for a fault of the engine.
    """

    message: str
    field: str = ""


Event = Started | Committed | Finished | Failed


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the engine is. Cache figures count tokens."""

    running: int
    waiting: int
    cache_tokens_used: int
    cache_tokens: int
