"""What a request may hold, and everything that is wrong with one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from triroute.proto import chat_pb2, router_pb2
from triroute.router.convert.words import (
    CHOICES,
    LATENCIES,
    MODES,
    ROLES,
    SOURCES,
    STEPS,
    VARIANTS,
    VERIFICATIONS,
    named,
)
from triroute.router.errors import Violation
from triroute.router.schemas import Schema, object_problem, schema_problem

MOST_TOKENS = 131_072
MOST_TEMPERATURE = 5.0
MOST_TOP_K = 1_000_000
MOST_STOPS, LONGEST_STOP = 16, 256
LEAST_REPETITION, MOST_REPETITION, MOST_PENALTY = 0.1, 2.0, 2.0
MOST_BIASES, MOST_BIAS, MOST_LOGPROBS = 1_024, 100.0, 20
MOST_TAGS, LONGEST_TAG, LONGEST_SESSION, LONGEST_TENANT = 16, 64, 128, 128
MOST_TOOLS, MOST_MESSAGES = 128, 1_000
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


Look = Callable[[Schema], str | None]  # what is wrong with a schema


def schemas_in(message: router_pb2.GenerateRequest) -> list[Schema]:
    """The schemas that `violations` looks at."""
    found = [_parameters(tool) for tool in message.tools[:MOST_TOOLS] if tool.parameters_json]
    shape = message.response_format
    return [*found, Schema(shape.json_schema)] if shape.json_schema.strip() else found


def violations(message: router_pb2.GenerateRequest, look: Look = schema_problem) -> Iterator[Violation]:
    """Everything that is wrong with a request, field by field."""
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
    yield from _tools(message, look)
    yield from _shape(message.response_format, look)
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
            problem = object_problem(call.arguments_json or "{}")
            if problem:
                yield Violation(f"{field}.tool_calls[{number}].arguments_json", problem)


def _tools(message: router_pb2.GenerateRequest, look: Look) -> Iterator[Violation]:
    names = [tool.name for tool in message.tools]
    if len(names) > MOST_TOOLS:
        yield Violation("tools", f"has {len(names)}; at most {MOST_TOOLS}")
    for index, tool in enumerate(message.tools[:MOST_TOOLS]):
        if not _TOOL_NAME.fullmatch(tool.name):
            yield Violation(f"tools[{index}].name", "must be 1 to 64 letters, digits, underscores or dashes")
        elif names.index(tool.name) != index:
            yield Violation(f"tools[{index}].name", f"{tool.name!r} is given twice")
        problem = look(_parameters(tool)) if tool.parameters_json else None
        if problem:
            yield Violation(f"tools[{index}].parameters_json", problem)
    choice = message.tool_choice
    if choice.kind and choice.kind not in CHOICES:
        yield Violation("tool_choice.kind", f"{choice.kind} is unknown")
    if choice.kind == chat_pb2.ToolChoice.KIND_NAMED and choice.name not in names:
        yield Violation("tool_choice.name", f"{choice.name!r} is not one of the tools ({', '.join(names) or 'none'})")
    if choice.kind == chat_pb2.ToolChoice.KIND_REQUIRED and not names:
        yield Violation("tool_choice", "requires a call, and no tools are offered")


def _parameters(tool: chat_pb2.Tool) -> Schema:
    return Schema(tool.parameters_json, of_arguments=True)


def _shape(shape: chat_pb2.ResponseFormat, look: Look) -> Iterator[Violation]:
    kind = shape.WhichOneof("constraint")
    if kind is not None and not getattr(shape, kind).strip():
        yield Violation(f"response_format.{kind}", "is empty; leave the response format out for free text")
    elif kind == "json_schema":
        problem = look(Schema(shape.json_schema))
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
        words = ", ".join(f"{number} ({word})" for number, word in named(LATENCIES).items())
        yield Violation("latency_class", f"{message.latency_class} is unknown; known are {words}")


def _hints(hints: router_pb2.DecodeHints) -> Iterator[Violation]:
    known: tuple[tuple[str, int, dict[int, str]], ...] = (
        ("mode", hints.mode, named(MODES)),
        ("variant", hints.variant, named(VARIANTS)),
        ("verification", hints.verification, named(VERIFICATIONS)),
        ("step", hints.step, named(STEPS)),
    )
    for name, value, names in known:
        if value and value not in names:
            words = ", ".join(f"{number} ({word})" for number, word in names.items() if number)
            yield Violation(f"hints.{name}", f"{value} is unknown; known are {words}")
    for source in hints.draft_sources:
        if source not in SOURCES:
            words = ", ".join(f"{number} ({word})" for number, word in named(SOURCES).items())
            yield Violation("hints.draft_sources", f"{source} is unknown; known are {words}")
    if hints.HasField("draft_threshold") and not 0 <= hints.draft_threshold <= 1:
        yield Violation("hints.draft_threshold", f"{hints.draft_threshold:g} is outside 0 to 1")
    if hints.HasField("confidence_threshold") and not math.isfinite(hints.confidence_threshold):
        yield Violation("hints.confidence_threshold", "is not a number; use a probability")
