"""A request of router.proto, parsed once. Bad input ends here, all at once."""

from __future__ import annotations

from triroute.proto import chat_pb2, router_pb2
from triroute.router.convert.checks import Look, violations
from triroute.router.convert.words import CHOICES, LATENCIES, MODES, ROLES, SOURCES, STEPS, VARIANTS, VERIFICATIONS
from triroute.router.errors import InvalidRequest
from triroute.router.schemas import schema_problem
from triroute.router.types import (
    FormatKind,
    Hints,
    Message,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
)


def to_request(message: router_pb2.GenerateRequest, look: Look = schema_problem) -> Request:
    """The domain request. Raises InvalidRequest with every violation found. `look` says what is wrong with a schema."""
    found = tuple(violations(message, look))
    if found:
        raise InvalidRequest.of(*found)
    return Request(
        messages=tuple(_message(turn) for turn in message.chat.messages),
        text=message.text,
        tools=tuple(Tool(tool.name, tool.description, tool.parameters_json) for tool in message.tools),
        tool_choice=_choice(message),
        response_format=_format(message.response_format),
        sampling=_sampling(message.sampling),
        session_id=message.session_id,
        tags=frozenset(message.tags),
        hints=to_hints(message.hints),
        tenant=message.tenant,
        expected_tokens=message.expected_tokens if message.HasField("expected_tokens") else None,
        latency_class=LATENCIES.get(message.latency_class),
        first_token_ms=message.first_token_ms if message.HasField("first_token_ms") else None,
    )


def to_hints(hints: router_pb2.DecodeHints) -> Hints:
    """The caller's wishes, checked before."""
    given = hints.HasField
    return Hints(
        step=STEPS[hints.step] if hints.step else None,
        mode=MODES.get(hints.mode),
        variant=VARIANTS.get(hints.variant),
        block_length=hints.block_length if given("block_length") else None,
        confidence_threshold=hints.confidence_threshold if given("confidence_threshold") else None,
        max_steps=hints.max_steps if given("max_steps") else None,
        verification=VERIFICATIONS.get(hints.verification),
        draft_sources=frozenset(SOURCES[source] for source in hints.draft_sources) or None,
        draft_threshold=hints.draft_threshold if given("draft_threshold") else None,
        fixed_steps=hints.fixed_steps if given("fixed_steps") else None,
    )


def _message(turn: chat_pb2.ChatMessage) -> Message:
    calls = tuple(ToolCall(call.id, call.name, call.arguments_json) for call in turn.tool_calls)
    return Message(ROLES[turn.role], turn.content, calls, turn.tool_call_id, turn.name)


def _choice(message: router_pb2.GenerateRequest) -> ToolChoice:
    default = ToolChoiceKind.AUTO if message.tools else ToolChoiceKind.NONE
    return ToolChoice(CHOICES.get(message.tool_choice.kind, default), message.tool_choice.name)


def _format(message: chat_pb2.ResponseFormat) -> ResponseFormat:
    kind = message.WhichOneof("constraint")
    return ResponseFormat() if kind is None else ResponseFormat(FormatKind(kind), getattr(message, kind))


def _sampling(message: chat_pb2.Sampling) -> Sampling:
    given = {field.name: value for field, value in message.ListFields()}
    many = {"stop": tuple(message.stop), "logit_bias": tuple(sorted(message.logit_bias.items()))}
    return Sampling(**given | many)
