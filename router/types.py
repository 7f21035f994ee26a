"""The router's domain: frozen types that `convert` makes once, and that nothing else parses again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

_LOOKED_AT = 400  # characters of a tool's result
_FAILED = re.compile(
    r"\s*(error\b|failed\b|failure\b|exception\b|traceback \(|\[?error\]?:)"
    r'|\s*\{(?=.*("error"\s*:(?!\s*(null|false|""|\{\}|\[\]))|"(is_?error)"\s*:\s*true|"(ok|success)"\s*:\s*false))',
    re.IGNORECASE | re.DOTALL,
)


class StepKind(StrEnum):
    """What an agent step is expected to produce."""

    UNKNOWN = "unknown"
    PLAN = "plan"
    TOOL_CALL = "tool_call"
    CODE = "code"
    PROSE = "prose"


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


class LatencyClass(StrEnum):
    """How soon somebody needs the step."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


class Arm(StrEnum):
    """Which policy of a canary decided. NONE: there is no canary."""

    NONE = "none"
    STABLE = "stable"
    CANARY = "canary"


class SegmentKind(StrEnum):
    """What a part of the output is."""

    PROSE = "prose"
    CODE = "code"
    TOOL_CALL = "tool_call"
    THINKING = "thinking"
    PLAN = "plan"


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolChoiceKind(StrEnum):
    """Whether the model may, must or must not call a tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an earlier assistant turn. `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is JSON Schema text, empty for none."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """How tools may be used; `name` only with `NAMED`."""

    kind: ToolChoiceKind = ToolChoiceKind.NONE
    name: str = ""


class FormatKind(StrEnum):
    """What constrains the output."""

    NONE = "none"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """A shape that the output must have; `source` is the schema, expression or grammar."""

    kind: FormatKind = FormatKind.NONE
    source: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn, complete; `logprobs` None asks for none."""

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


@dataclass(frozen=True, slots=True)
class Hints:
    """The caller's wishes about decoding; None where nothing was said. `block_length` 0 is auto."""

    step: StepKind | None = None
    mode: Mode | None = None
    variant: Variant | None = None
    block_length: int | None = None
    confidence_threshold: float | None = None
    max_steps: int | None = None
    verification: Verification | None = None
    draft_sources: frozenset[DraftSource] | None = None
    draft_threshold: float | None = None
    fixed_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One agent step. Exactly one of `messages` and `text` is not empty. None and "": the caller did not say."""

    messages: tuple[Message, ...] = ()
    text: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    response_format: ResponseFormat = ResponseFormat()
    sampling: Sampling = Sampling()
    session_id: str = ""
    tags: frozenset[str] = frozenset()
    hints: Hints = Hints()
    tenant: str = ""
    expected_tokens: int | None = None
    latency_class: LatencyClass | None = None
    first_token_ms: int | None = None

    @property
    def tool_names(self) -> list[str]:
        return [tool.name for tool in self.tools]

    @property
    def tool_choice_kind(self) -> ToolChoiceKind:
        return self.tool_choice.kind

    @property
    def may_call(self) -> bool:
        return bool(self.tools) and self.tool_choice.kind is not ToolChoiceKind.NONE

    @property
    def has_format(self) -> bool:
        return self.response_format.kind is not FormatKind.NONE

    @property
    def has_session(self) -> bool:
        return bool(self.session_id)

    @property
    def last_role(self) -> Role | None:
        return self.messages[-1].role if self.messages else None

    @property
    def prompt_characters(self) -> int:
        return len(self.text) + sum(len(message.content) for message in self.messages)

    @property
    def max_tokens(self) -> int:
        return self.sampling.max_tokens

    @property
    def turns(self) -> int:
        return len(self.messages)

    @property
    def tool_loop(self) -> int:
        """Assistant turns with tool calls since the last user message."""
        rounds = 0
        for message in reversed(self.messages):
            if message.role is Role.USER:
                break
            rounds += bool(message.tool_calls)
        return rounds

    @property
    def last_tool_failed(self) -> bool:
        last = self.messages[-1] if self.messages else None
        return last is not None and last.role is Role.TOOL and _FAILED.match(last.content[:_LOOKED_AT]) is not None


@dataclass(frozen=True, slots=True)
class Step:
    """The classifier's answer: `confidence` in [0, 1], `evidence` strongest first.

    `revision` names the weights, empty where none were asked; `cut` characters of the request were not looked at.
    """

    kind: StepKind
    confidence: float
    evidence: tuple[str, ...] = ()
    revision: str = ""
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Trip:
    """A switch on a figure of the load: trips at `bound` (past it where not `inclusive`), resets at `reset`."""

    figure: str
    bound: float
    inclusive: bool
    reset: float

    def state(self, value: float) -> bool | None:
        """Tripped, reset, or None between the two: as it was before."""
        if value > self.bound or (self.inclusive and value == self.bound):
            return True
        return False if value <= self.reset else None


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """All routers of a fleet: their number, requests running and waiting at all engines, mean share of cache in use."""

    routers: int = 1
    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the engine is: requests running, requests waiting, share of the KV cache in use [0, 1].

    `watched`: the switches that were looked at, `tripped`: those of them that this load or earlier ones have tripped.
    `fleet`: None where no other router is known of.
    """

    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0
    tripped: frozenset[Trip] = frozenset()
    watched: tuple[Trip, ...] = ()
    fleet: FleetLoad | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The load by which a session's steps are judged: that of `router`, at `since_us` (microseconds since 1970 UTC)."""

    load: Load
    since_us: int
    router: str


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


@dataclass(frozen=True, slots=True)
class Extras:
    """What a rule asks for beyond the decoder. `verification` and `capture` are only carried, the rest runs.

    `escalation` is (when, to which mode, how often at most); `segments` has a plan for each kind that differs.
    """

    grammar: str = "as_asked"
    escalation: tuple[tuple[str, ...], Mode, int] | None = None
    segments: tuple[tuple[SegmentKind, DecodePlan], ...] = ()
    capture: str = "features"
    audit: str = "best_effort"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A rule that did not fire, and its first failing condition with the actual value."""

    rule_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Clamp:
    """A parameter that a limit moved."""

    parameter: str
    asked: float
    became: float


@dataclass(frozen=True, slots=True)
class HintOutcome:
    """What became of a hint."""

    hint: str
    accepted: bool
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """How a step will be decoded, and why. `trace` is called for words only where somebody reads them.

    `load` is the one that it was made under; `canonical` is the policy's text whose SHA-256 the revision is.
    `segment_rules` name the rules that other plans for segments come from, where that is not `rule_id`.
    """

    step: Step
    rule_id: str
    plan: DecodePlan
    policy_revision: str
    trace: Callable[[], tuple[PassedOver, ...]] = field(default=tuple, compare=False, repr=False)
    clamps: tuple[Clamp, ...] = ()
    hints: tuple[HintOutcome, ...] = ()
    shadow: tuple[str, ...] = ()
    extras: Extras = Extras()
    load: Load = field(default=Load(), compare=False)
    canonical: str = field(default="", compare=False, repr=False)
    arm: Arm = Arm.NONE
    held: Held | None = None
    segment_rules: tuple[tuple[SegmentKind, str], ...] = ()

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """The rules before the one that fired, in order, and why each did not."""
        return self.trace()


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What another policy would have decided, without effect. `agrees`: the same would have run.

    `rule_id` is empty and `plan` None where it would have refused the step, or could not say: `error` has why.
    """

    policy_revision: str
    rule_id: str
    plan: DecodePlan | None
    agrees: bool
    error: str = ""
