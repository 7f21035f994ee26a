"""What decisions are made of: asked of a live request, or read from its record. There is no text of prompts in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from triroute.proto import chat_pb2, router_pb2
from triroute.router.convert.request import to_hints
from triroute.router.convert.words import CHOICES, LATENCIES, ROLES, STEPS, number_of
from triroute.router.loads import from_load, to_load
from triroute.router.types import Hints, LatencyClass, Load, Role, Step, StepKind, ToolChoiceKind


class Asked(Protocol):
    """All that a policy may ask about a request: a live one works it out, a record has it written down."""

    @property
    def tool_names(self) -> Collection[str]: ...
    @property
    def tool_choice_kind(self) -> ToolChoiceKind: ...
    @property
    def has_format(self) -> bool: ...
    @property
    def has_session(self) -> bool: ...
    @property
    def last_role(self) -> Role | None: ...
    @property
    def prompt_characters(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def expected_tokens(self) -> int | None: ...
    @property
    def turns(self) -> int: ...
    @property
    def tool_loop(self) -> int: ...
    @property
    def last_tool_failed(self) -> bool: ...
    @property
    def tenant(self) -> str: ...
    @property
    def tags(self) -> frozenset[str]: ...
    @property
    def hints(self) -> Hints: ...
    @property
    def latency_class(self) -> LatencyClass | None: ...
    @property
    def first_token_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Features:
    """The same, written down; fields as in router.proto."""

    tool_names: tuple[str, ...] = ()
    tool_choice_kind: ToolChoiceKind = ToolChoiceKind.NONE
    has_format: bool = False
    has_session: bool = False
    last_role: Role | None = None
    prompt_characters: int = 0
    max_tokens: int = 256
    expected_tokens: int | None = None
    turns: int = 0
    tool_loop: int = 0
    last_tool_failed: bool = False
    tenant: str = ""
    tags: frozenset[str] = frozenset()
    hints: Hints = field(default_factory=Hints)
    latency_class: LatencyClass | None = None
    first_token_ms: int | None = None


def written(asked: Asked, hints: router_pb2.DecodeHints, step: Step, load: Load) -> router_pb2.Features:
    """What a record keeps of a request, of its class and of the load. `hints` are the request's, as they came."""
    return router_pb2.Features(
        step=number_of(STEPS, step.kind),
        confidence=step.confidence,
        evidence=step.evidence,
        tool_names=asked.tool_names,
        tool_choice=number_of(CHOICES, asked.tool_choice_kind),
        has_format=asked.has_format,
        has_session=asked.has_session,
        last_role=number_of(ROLES, asked.last_role) if asked.last_role else chat_pb2.ROLE_UNSPECIFIED,
        prompt_characters=asked.prompt_characters,
        max_tokens=asked.max_tokens,
        expected_tokens=asked.expected_tokens,
        turns=asked.turns,
        tool_loop=asked.tool_loop,
        last_tool_failed=asked.last_tool_failed,
        tenant=asked.tenant,
        tags=sorted(asked.tags),
        hints=hints,
        latency_class=number_of(LATENCIES, asked.latency_class)
        if asked.latency_class
        else router_pb2.LATENCY_CLASS_UNSPECIFIED,
        first_token_ms=asked.first_token_ms,
        load=from_load(load),
        classifier_revision=step.revision,
        characters_cut=step.cut,
    )


def read(message: router_pb2.Features) -> tuple[Features, Step, Load]:
    """What `written` made a record keep."""
    features = Features(
        tool_names=tuple(message.tool_names),
        tool_choice_kind=CHOICES.get(message.tool_choice, ToolChoiceKind.NONE),
        has_format=message.has_format,
        has_session=message.has_session,
        last_role=ROLES.get(message.last_role),
        prompt_characters=message.prompt_characters,
        max_tokens=message.max_tokens,
        expected_tokens=message.expected_tokens if message.HasField("expected_tokens") else None,
        turns=message.turns,
        tool_loop=message.tool_loop,
        last_tool_failed=message.last_tool_failed,
        tenant=message.tenant,
        tags=frozenset(message.tags),
        hints=to_hints(message.hints),
        latency_class=LATENCIES.get(message.latency_class),
        first_token_ms=message.first_token_ms if message.HasField("first_token_ms") else None,
    )
    kind = STEPS.get(message.step, StepKind.UNKNOWN)
    revision, cut = message.classifier_revision, message.characters_cut
    step = Step(kind, message.confidence, tuple(message.evidence), revision, cut)
    return features, step, to_load(message.load)
