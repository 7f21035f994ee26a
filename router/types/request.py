"""One agent step as its caller asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from triroute.router.types.plan import DraftSource, Mode, Variant, Verification
from triroute.router.types.step import StepKind

_LOOKED_AT = 400  # characters of a tool's result
_FAILED = re.compile(
    r"\s*(error\b|failed\b|failure\b|exception\b|traceback \(|\[?error\]?:)"
    r'|\s*\{(?=.*("error"\s*:(?!\s*(null|false|""|\{\}|\[\]))|"(is_?error)"\s*:\s*true|"(ok|success)"\s*:\s*false))',
    re.IGNORECASE | re.DOTALL,
)


class LatencyClass(StrEnum):
    """How soon somebody needs the step."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


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
