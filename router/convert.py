"""Protobufs of router.proto to the domain and back: the only reader of requests. Bad input ends here, all at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeAlias, TypeVar

from triroute.proto import chat_pb2, decoding_pb2, engine_pb2, router_pb2
from triroute.router.errors import InvalidRequest, Violation
from triroute.router.loads import from_held
from triroute.router.schemas import schema_problem
from triroute.router.structured.attempt import Attempt
from triroute.router.types import (
    Arm,
    Decision,
    DecodePlan,
    DraftSource,
    FormatKind,
    Hints,
    LatencyClass,
    Message,
    Mode,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    SegmentKind,
    ShadowDecision,
    StepKind,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
    Variant,
    Verification,
)

MODES = {
    decoding_pb2.MODE_AUTOREGRESSIVE: Mode.AUTOREGRESSIVE,
    decoding_pb2.MODE_DIFFUSION: Mode.DIFFUSION,
    decoding_pb2.MODE_SELF_SPECULATION: Mode.SELF_SPECULATION,
}
VARIANTS = {decoding_pb2.VARIANT_LINEAR: Variant.LINEAR, decoding_pb2.VARIANT_QUADRATIC: Variant.QUADRATIC}
VERIFICATIONS = {
    decoding_pb2.VERIFICATION_EXACT: Verification.EXACT,
    decoding_pb2.VERIFICATION_RELAXED: Verification.RELAXED,
}
SOURCES = {
    decoding_pb2.DRAFT_SOURCE_DIFFUSION: DraftSource.DIFFUSION,
    decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP: DraftSource.PROMPT_LOOKUP,
}
STEPS = {
    router_pb2.STEP_KIND_UNKNOWN: StepKind.UNKNOWN,
    router_pb2.STEP_KIND_PLAN: StepKind.PLAN,
    router_pb2.STEP_KIND_TOOL_CALL: StepKind.TOOL_CALL,
    router_pb2.STEP_KIND_CODE: StepKind.CODE,
    router_pb2.STEP_KIND_PROSE: StepKind.PROSE,
}
ARMS = {
    router_pb2.ARM_UNSPECIFIED: Arm.NONE,
    router_pb2.ARM_STABLE: Arm.STABLE,
    router_pb2.ARM_CANARY: Arm.CANARY,
}
SEGMENTS = {
    decoding_pb2.SEGMENT_KIND_PROSE: SegmentKind.PROSE,
    decoding_pb2.SEGMENT_KIND_CODE: SegmentKind.CODE,
    decoding_pb2.SEGMENT_KIND_TOOL_CALL: SegmentKind.TOOL_CALL,
    decoding_pb2.SEGMENT_KIND_THINKING: SegmentKind.THINKING,
    decoding_pb2.SEGMENT_KIND_PLAN: SegmentKind.PLAN,
}
ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}
LATENCIES = {
    router_pb2.LATENCY_CLASS_INTERACTIVE: LatencyClass.INTERACTIVE,
    router_pb2.LATENCY_CLASS_STANDARD: LatencyClass.STANDARD,
    router_pb2.LATENCY_CLASS_BATCH: LatencyClass.BATCH,
}
CHOICES = {
    chat_pb2.ToolChoice.KIND_AUTO: ToolChoiceKind.AUTO,
    chat_pb2.ToolChoice.KIND_NONE: ToolChoiceKind.NONE,
    chat_pb2.ToolChoice.KIND_REQUIRED: ToolChoiceKind.REQUIRED,
    chat_pb2.ToolChoice.KIND_NAMED: ToolChoiceKind.NAMED,
}

MOST_TOKENS = 131_072
MOST_TEMPERATURE = 5.0
MOST_TOP_K = 1_000_000
MOST_STOPS, LONGEST_STOP = 16, 256
LEAST_REPETITION, MOST_REPETITION, MOST_PENALTY = 0.1, 2.0, 2.0
MOST_BIASES, MOST_BIAS, MOST_LOGPROBS = 1_024, 100.0, 20
MOST_TAGS, LONGEST_TAG, LONGEST_SESSION, LONGEST_TENANT = 16, 64, 128, 128
MOST_TOOLS, MOST_MESSAGES = 128, 1_000
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Known = TypeVar("Known")
Number = TypeVar("Number", bound=int)
SegmentPlans: TypeAlias = tuple[tuple[SegmentKind, DecodePlan], ...]


def to_request(message: router_pb2.GenerateRequest) -> Request:
    """The domain request. Raises InvalidRequest with every violation found."""
    violations = tuple(_violations(message))
    if violations:
        raise InvalidRequest.of(*violations)
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


def from_decision(decision: Decision, request_id: str, trace_id: str) -> router_pb2.Decision:
    """The stream's first event."""
    return router_pb2.Decision(
        request_id=request_id,
        step=number_of(STEPS, decision.step.kind),
        confidence=decision.step.confidence,
        evidence=decision.step.evidence,
        rule_id=decision.rule_id,
        passed_over=[router_pb2.PassedOver(rule_id=rule.rule_id, why=rule.why) for rule in decision.passed_over],
        plan=from_plan(decision.plan),
        clamps=[router_pb2.Clamp(parameter=c.parameter, asked=c.asked, became=c.became) for c in decision.clamps],
        hints=[router_pb2.HintOutcome(hint=h.hint, accepted=h.accepted, why=h.why) for h in decision.hints],
        policy_revision=decision.policy_revision,
        trace_id=trace_id,
        arm=number_of(ARMS, decision.arm),
        held=from_held(decision.held) if decision.held else None,
        segments=_from_segments(decision.extras.segments, dict(decision.segment_rules)),
    )


def from_shadow(shadow: ShadowDecision) -> router_pb2.ShadowDecision:
    """For the record."""
    return router_pb2.ShadowDecision(
        policy_revision=shadow.policy_revision,
        rule_id=shadow.rule_id,
        plan=from_plan(shadow.plan) if shadow.plan else None,
        agrees=shadow.agrees,
        error=shadow.error,
    )


def _from_segments(segments: SegmentPlans, rules: Mapping[SegmentKind, str]) -> list[decoding_pb2.SegmentPlan]:
    return [
        decoding_pb2.SegmentPlan(kind=number_of(SEGMENTS, kind), plan=from_plan(plan), rule_id=rules.get(kind, ""))
        for kind, plan in segments
    ]


def from_plan(plan: DecodePlan) -> decoding_pb2.DecodePlan:
    """What the engine is told to run."""
    return decoding_pb2.DecodePlan(
        mode=number_of(MODES, plan.mode),
        variant=number_of(VARIANTS, plan.variant) if plan.variant else decoding_pb2.VARIANT_UNSPECIFIED,
        block_length=plan.block_length,
        confidence_threshold=plan.confidence_threshold,
        max_steps=plan.max_steps,
        verification=number_of(VERIFICATIONS, plan.verification),
        draft_sources=sorted(number_of(SOURCES, source) for source in plan.draft_sources),
        draft_threshold=plan.draft_threshold,
        fixed_steps=plan.fixed_steps,
    )


def to_plan(plan: decoding_pb2.DecodePlan) -> DecodePlan:
    """What `from_plan` wrote. Raises KeyError for a mode that this version does not know."""
    return DecodePlan(
        mode=MODES[plan.mode],
        variant=VARIANTS.get(plan.variant),
        block_length=plan.block_length,
        confidence_threshold=plan.confidence_threshold,
        max_steps=plan.max_steps,
        verification=VERIFICATIONS[plan.verification],
        draft_sources=frozenset(SOURCES[source] for source in plan.draft_sources),
        draft_threshold=plan.draft_threshold,
        fixed_steps=plan.fixed_steps,
    )


def to_engine(
    message: router_pb2.GenerateRequest, request: Request, attempt: Attempt, request_id: str
) -> engine_pb2.GenerateRequest:
    """The engine's request: the caller's, complete and decided."""
    sampling = attempt.sampling
    asked = engine_pb2.GenerateRequest(
        request_id=request_id,
        tools=message.tools,
        tool_choice=chat_pb2.ToolChoice(
            kind=number_of(CHOICES, request.tool_choice.kind),
            name=request.tool_choice.name,
            one_call=message.tool_choice.one_call,
        ),
        response_format=message.response_format,
        plan=from_plan(attempt.plan),
        segments=_from_segments(attempt.segments, {}),
        unconstrained=attempt.unconstrained,
        sampling=chat_pb2.Sampling(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            seed=sampling.seed,
            stop=sampling.stop,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            logit_bias=dict(sampling.logit_bias),
            logprobs=sampling.logprobs,
        ),
    )
    if request.text:
        asked.text = request.text
    else:
        asked.chat.CopyFrom(message.chat)
    return asked


def number_of(names: Mapping[Number, Known], name: Known) -> Number:
    """The protobuf's number of one of ours."""
    return next(number for number, known in names.items() if known == name)


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


def _violations(message: router_pb2.GenerateRequest) -> Iterator[Violation]:
    kind = message.WhichOneof("prompt")
    if kind is None:
        yield Violation("prompt", "is missing; send chat or text")
    elif kind == "text":
        if not message.text:
            yield Violation("text", "is empty; send what to continue")
        if message.tools:
            yield Violation("tools", "need chat; a raw prompt has no place for them")
    else:
        yield from _chat(message.chat)
    yield from _tools(message)
    yield from _shape(message.response_format)
    yield from _numbers(message.sampling)
    yield from _labels(message)
    yield from _hints(message.hints)


def _chat(chat: chat_pb2.Chat) -> Iterator[Violation]:
    if not chat.messages:
        yield Violation("chat.messages", "is empty; send at least one message")
    if len(chat.messages) > MOST_MESSAGES:
        yield Violation("chat.messages", f"has {len(chat.messages)}; at most {MOST_MESSAGES}")
    for index, turn in enumerate(chat.messages[:MOST_MESSAGES]):
        field = f"chat.messages[{index}]"
        if turn.role not in ROLES:
            yield Violation(f"{field}.role", f"{turn.role} is unknown; use system, user, assistant or tool")
        if not turn.content and not turn.tool_calls and turn.role != chat_pb2.ROLE_TOOL:
            yield Violation(f"{field}.content", "is empty; only a turn with tool calls may be")
        if turn.tool_calls and turn.role != chat_pb2.ROLE_ASSISTANT:
            yield Violation(f"{field}.tool_calls", "belong to assistant turns")
        if turn.role == chat_pb2.ROLE_TOOL and not turn.tool_call_id:
            yield Violation(f"{field}.tool_call_id", "is empty; name the tool call that this result answers")
        for number, call in enumerate(turn.tool_calls):
            if not call.name:
                yield Violation(f"{field}.tool_calls[{number}].name", "is empty; name the tool that was called")
            problem = schema_problem(call.arguments_json or "{}", as_schema=False)
            if problem:
                yield Violation(f"{field}.tool_calls[{number}].arguments_json", problem)


def _tools(message: router_pb2.GenerateRequest) -> Iterator[Violation]:
    names = [tool.name for tool in message.tools]
    if len(names) > MOST_TOOLS:
        yield Violation("tools", f"has {len(names)}; at most {MOST_TOOLS}")
    for index, tool in enumerate(message.tools[:MOST_TOOLS]):
        if not _TOOL_NAME.fullmatch(tool.name):
            yield Violation(f"tools[{index}].name", "must be 1 to 64 letters, digits, underscores or dashes")
        elif names.index(tool.name) != index:
            yield Violation(f"tools[{index}].name", f"{tool.name!r} is given twice")
        problem = schema_problem(tool.parameters_json) if tool.parameters_json else None
        if problem:
            yield Violation(f"tools[{index}].parameters_json", problem)
    choice = message.tool_choice
    if choice.kind and choice.kind not in CHOICES:
        yield Violation("tool_choice.kind", f"{choice.kind} is unknown")
    if choice.kind == chat_pb2.ToolChoice.KIND_NAMED and choice.name not in names:
        yield Violation("tool_choice.name", f"{choice.name!r} is not one of the tools ({', '.join(names) or 'none'})")
    if choice.kind == chat_pb2.ToolChoice.KIND_REQUIRED and not names:
        yield Violation("tool_choice", "requires a call, and no tools are offered")


def _shape(shape: chat_pb2.ResponseFormat) -> Iterator[Violation]:
    kind = shape.WhichOneof("constraint")
    if kind is not None and not getattr(shape, kind).strip():
        yield Violation(f"response_format.{kind}", "is empty; leave the response format out for free text")
    elif kind == "json_schema":
        problem = schema_problem(shape.json_schema)
        if problem:
            yield Violation("response_format.json_schema", problem)


def _numbers(sampling: chat_pb2.Sampling) -> Iterator[Violation]:
    if sampling.HasField("max_tokens") and not 1 <= sampling.max_tokens <= MOST_TOKENS:
        yield Violation("sampling.max_tokens", f"{sampling.max_tokens} is outside 1 to {MOST_TOKENS}")
    if not (math.isfinite(sampling.temperature) and 0 <= sampling.temperature <= MOST_TEMPERATURE):
        yield Violation("sampling.temperature", f"{sampling.temperature:g} is outside 0 to {MOST_TEMPERATURE:g}")
    if sampling.HasField("top_p") and not 0 < sampling.top_p <= 1:
        yield Violation("sampling.top_p", f"{sampling.top_p:g} is outside (0, 1]")
    if sampling.top_k > MOST_TOP_K:
        yield Violation("sampling.top_k", f"{sampling.top_k} is over {MOST_TOP_K}; 0 keeps all tokens")
    if len(sampling.stop) > MOST_STOPS:
        yield Violation("sampling.stop", f"has {len(sampling.stop)} strings; at most {MOST_STOPS}")
    for index, stop in enumerate(sampling.stop[:MOST_STOPS]):
        if not 1 <= len(stop) <= LONGEST_STOP:
            yield Violation(f"sampling.stop[{index}]", f"must have 1 to {LONGEST_STOP} characters")
    yield from _weights(sampling)


def _weights(sampling: chat_pb2.Sampling) -> Iterator[Violation]:
    """What changes single tokens' scores, and what is told of them."""
    bounds = (
        ("min_p", 0.0, 1.0),
        ("repetition_penalty", LEAST_REPETITION, MOST_REPETITION),
        ("presence_penalty", -MOST_PENALTY, MOST_PENALTY),
        ("frequency_penalty", -MOST_PENALTY, MOST_PENALTY),
    )
    given = {field.name: value for field, value in sampling.ListFields()}
    for name, least, most in bounds:
        value = given.get(name, most)
        if not least <= value <= most:
            yield Violation(f"sampling.{name}", f"{value:g} is outside {least:g} to {most:g}")
    if len(sampling.logit_bias) > MOST_BIASES:
        yield Violation("sampling.logit_bias", f"has {len(sampling.logit_bias)} tokens; at most {MOST_BIASES}")
    for token, bias in sorted(sampling.logit_bias.items())[:MOST_BIASES]:
        if not -MOST_BIAS <= bias <= MOST_BIAS:
            yield Violation(f"sampling.logit_bias[{token}]", f"{bias:g} is outside {-MOST_BIAS:g} to {MOST_BIAS:g}")
    if sampling.logprobs > MOST_LOGPROBS:
        yield Violation("sampling.logprobs", f"{sampling.logprobs} is over {MOST_LOGPROBS}; leave it out for none")


def _labels(message: router_pb2.GenerateRequest) -> Iterator[Violation]:
    if len(message.session_id) > LONGEST_SESSION:
        yield Violation("session_id", f"has over {LONGEST_SESSION} characters")
    if len(message.tags) > MOST_TAGS or any(not 1 <= len(tag) <= LONGEST_TAG for tag in message.tags):
        yield Violation("tags", f"at most {MOST_TAGS}, of 1 to {LONGEST_TAG} characters each")
    if len(message.tenant) > LONGEST_TENANT:
        yield Violation("tenant", f"has over {LONGEST_TENANT} characters")
    if message.latency_class and message.latency_class not in LATENCIES:
        words = ", ".join(f"{number} ({word})" for number, word in _words(LATENCIES).items())
        yield Violation("latency_class", f"{message.latency_class} is unknown; known are {words}")


def _hints(hints: router_pb2.DecodeHints) -> Iterator[Violation]:
    known: tuple[tuple[str, int, dict[int, str]], ...] = (
        ("mode", hints.mode, _words(MODES)),
        ("variant", hints.variant, _words(VARIANTS)),
        ("verification", hints.verification, _words(VERIFICATIONS)),
        ("step", hints.step, _words(STEPS)),
    )
    for name, value, names in known:
        if value and value not in names:
            words = ", ".join(f"{number} ({word})" for number, word in names.items() if number)
            yield Violation(f"hints.{name}", f"{value} is unknown; known are {words}")
    for source in hints.draft_sources:
        if source not in SOURCES:
            words = ", ".join(f"{number} ({word})" for number, word in _words(SOURCES).items())
            yield Violation("hints.draft_sources", f"{source} is unknown; known are {words}")
    if hints.HasField("draft_threshold") and not 0 <= hints.draft_threshold <= 1:
        yield Violation("hints.draft_threshold", f"{hints.draft_threshold:g} is outside 0 to 1")
    if hints.HasField("confidence_threshold") and not math.isfinite(hints.confidence_threshold):
        yield Violation("hints.confidence_threshold", "is not a number; use a probability")


def _words(names: Mapping[Number, StrEnum]) -> dict[int, str]:
    return {int(number): name.value for number, name in names.items()}
