"""Protobufs of engine.proto to engine types and back. What only the engine can judge is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from triroute.engine.chat import Message, Role, Tool, ToolCall, encode_chat
from triroute.engine.config import EngineConfig
from triroute.engine.costs import Costs
from triroute.engine.engine import Engine
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compile_format
from triroute.engine.modes.quadratic_speculation import MOST_BLOCK_LENGTH
from triroute.engine.segments.parameters import parameters_of
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.tool_grammar import UNHELD, Calls, compile_calls
from triroute.engine.types import (
    ALL_SOURCES,
    BrokenCall,
    CallEvent,
    CallPiece,
    Committed,
    DraftSource,
    Finished,
    FormatKind,
    ModeName,
    PassRecord,
    Plan,
    Request,
    ResponseFormat,
    Sampling,
    SegmentKind,
    Started,
    Stretch,
    TokenLogprob,
    WrittenCall,
)
from triroute.proto import chat_pb2, decoding_pb2, engine_pb2

_ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}
MODES = {
    (decoding_pb2.MODE_AUTOREGRESSIVE, decoding_pb2.VARIANT_UNSPECIFIED): ModeName.AUTOREGRESSIVE,
    (decoding_pb2.MODE_DIFFUSION, decoding_pb2.VARIANT_UNSPECIFIED): ModeName.DIFFUSION,
    (decoding_pb2.MODE_SELF_SPECULATION, decoding_pb2.VARIANT_LINEAR): ModeName.LINEAR_SPECULATION,
    (decoding_pb2.MODE_SELF_SPECULATION, decoding_pb2.VARIANT_QUADRATIC): ModeName.QUADRATIC_SPECULATION,
}


def to_request(message: engine_pb2.GenerateRequest, engine: Engine) -> Request:
    """Parse and tokenize. Raises InvalidRequest."""
    if not message.request_id:
        raise InvalidRequest("request_id", "is empty; name the request")
    if any(token >= engine.tokenizer.vocab_size for token in message.resume_ids):
        raise InvalidRequest("resume_ids", f"has an id outside the vocabulary of {engine.tokenizer.vocab_size}")
    return Request(
        request_id=message.request_id,
        prompt_ids=_prompt(message, engine),
        plan=_plan(message.plan, "plan", engine.config),
        sampling=_sampling(message.sampling),
        response_format=_format(message.response_format),
        resume_ids=tuple(message.resume_ids),
        resume_characters=message.resume_characters,
        segments=_segments(message.segments, engine.config),
        may_call=_may_call(message),
        parameters=parameters_of((tool.name, tool.parameters_json) for tool in _offered(message)),
    )


def to_constraint(
    message: engine_pb2.GenerateRequest, prompt_ids: Sequence[int], tokenizer: Tokenizer
) -> tuple[Constraint | None, tuple[str, ...]]:
    """What holds the output to what was asked for, and what of that it does not hold it to.

    A response format goes before calls that only may be made. Raises InvalidRequest.
    """
    shape, choice, tools, must = _format(message.response_format), message.tool_choice, _tools(message), _must(message)
    if tools and (must or shape is None) and not message.unconstrained:
        calls, named = Calls.MUST if must else Calls.FREE, choice.name if must else ""
        constraint = compile_calls(tools, calls, tokenizer, prompt_ids, parallel=not choice.one_call, named=named)
        return constraint, constraint.unenforced
    unheld = (UNHELD,) if _may_call(message) and any(tool.strict for tool in tools) else ()
    if shape is None or message.unconstrained:
        return None, unheld
    constraint = compile_format(shape, tokenizer)
    return constraint, constraint.unenforced + unheld


def from_event(event: Started | Committed | Finished) -> engine_pb2.GenerateEvent:
    """An event of the loop as one of the stream."""
    match event:
        case Started():
            return engine_pb2.GenerateEvent(started=engine_pb2.Started(prompt_tokens=event.prompt_tokens))
        case Committed():
            commit = engine_pb2.Commit(
                token_ids=event.token_ids,
                text=event.text,
                segment=event.record.segment,
                kind=decoding_pb2.SegmentKind.ValueType(event.kind),
                plan=event.plan,
            )
            for call in event.calls:
                _add_call(commit, call)
            commit.passes.append(_pass(event.record))
            commit.logprobs.extend(_logprob(one) for one in event.logprobs)
            commit.speech.extend(_stretches(event.speech))
            return engine_pb2.GenerateEvent(commit=commit)
        case Finished():
            return engine_pb2.GenerateEvent(finish=_finish(event))


def _stretches(speech: tuple[Stretch, ...]) -> list[engine_pb2.Stretch]:
    return [engine_pb2.Stretch(start=start, end=end) for start, end in speech]


def from_costs(costs: Costs) -> engine_pb2.Costs:
    """What passes cost."""
    return engine_pb2.Costs(pass_seconds=costs.base, key_seconds=costs.per_key, draft_seconds=costs.per_draft)


def _prompt(message: engine_pb2.GenerateRequest, engine: Engine) -> tuple[int, ...]:
    most = engine.context_length
    if message.WhichOneof("prompt") == "text":
        return _fitting(tuple(engine.tokenizer.encode(message.text, most=most)), "text", most)
    if not message.chat.messages:
        raise InvalidRequest("chat.messages", "is empty; send at least one message, or text")
    messages = tuple(_message(index, turn) for index, turn in enumerate(message.chat.messages))
    ids = encode_chat(messages, _tools(message), engine.chat_template, engine.tokenizer, most)
    return _fitting(ids, "chat.messages", most)


def _fitting(ids: tuple[int, ...], field: str, most: int) -> tuple[int, ...]:
    if len(ids) > most:
        raise InvalidRequest(field, f"is longer than the context of {most} tokens; shorten the prompt")
    return ids


def _tools(message: engine_pb2.GenerateRequest) -> tuple[Tool, ...]:
    return tuple(Tool(tool.name, tool.description, tool.parameters_json, tool.strict) for tool in _offered(message))


def _offered(message: engine_pb2.GenerateRequest) -> list[chat_pb2.Tool]:
    return [] if message.tool_choice.kind == chat_pb2.ToolChoice.KIND_NONE else list(message.tools)


def _must(message: engine_pb2.GenerateRequest) -> bool:
    return message.tool_choice.kind in (chat_pb2.ToolChoice.KIND_REQUIRED, chat_pb2.ToolChoice.KIND_NAMED)


def _may_call(message: engine_pb2.GenerateRequest) -> bool:
    """JSON that was asked for is no call. A raw prompt may hold tools that only its writer knows of."""
    shape = message.response_format.WhichOneof("constraint")
    if message.WhichOneof("prompt") == "text":
        return shape is None and bool(message.segments)
    return bool(_offered(message)) and (shape != "json_schema" or _must(message))


def _message(index: int, turn: chat_pb2.ChatMessage) -> Message:
    if turn.role not in _ROLES:
        raise InvalidRequest(f"chat.messages[{index}].role", f"{turn.role} is unknown")
    calls = tuple(ToolCall(call.name, call.arguments_json) for call in turn.tool_calls)
    return Message(_ROLES[turn.role], turn.content, calls)


def _segments(
    segments: Iterable[decoding_pb2.SegmentPlan], config: EngineConfig
) -> tuple[tuple[SegmentKind, Plan], ...]:
    plans: dict[SegmentKind, Plan] = {}
    for index, segment in enumerate(segments):
        field = f"segments[{index}]"
        if int(segment.kind) not in [*SegmentKind][1:]:
            raise InvalidRequest(f"{field}.kind", f"{segment.kind} is unknown")
        if SegmentKind(segment.kind) in plans:
            raise InvalidRequest(f"{field}.kind", "has a plan already; send one a kind")
        plans[SegmentKind(segment.kind)] = _plan(segment.plan, f"{field}.plan", config)
    return tuple(plans.items())


def _plan(plan: decoding_pb2.DecodePlan, field: str, config: EngineConfig) -> Plan:
    mode = MODES.get((plan.mode, plan.variant))
    if mode is None:
        known = ", ".join(name.value for name in MODES.values())
        raise InvalidRequest(f"{field}.mode", f"this mode and variant are not available; this engine runs {known}")
    if plan.block_length > config.max_block_length:
        raise InvalidRequest(
            f"{field}.block_length", f"{plan.block_length} is over the most of {config.max_block_length}"
        )
    if mode is ModeName.DIFFUSION and not (0 < plan.confidence_threshold <= 1 and plan.max_steps):
        raise InvalidRequest(field, "diffusion needs a confidence_threshold in (0, 1] and max_steps of at least 1")
    if mode is ModeName.QUADRATIC_SPECULATION and plan.block_length > MOST_BLOCK_LENGTH:
        raise InvalidRequest(
            f"{field}.block_length",
            f"{plan.block_length} is over the most of {MOST_BLOCK_LENGTH} for quadratic speculation, "
            "whose passes have that many rows squared; use linear, or a shorter block",
        )
    sources = frozenset(DraftSource(source) for source in plan.draft_sources)
    if not sources <= ALL_SOURCES:
        raise InvalidRequest(f"{field}.draft_sources", "may hold diffusion and prompt_lookup; the grammar is always on")
    if not 0 <= plan.draft_threshold <= 1:
        raise InvalidRequest(f"{field}.draft_threshold", f"{plan.draft_threshold:g} is not a probability")
    return Plan(
        mode,
        plan.block_length,
        plan.confidence_threshold,
        max(plan.max_steps, 1),
        sources,
        plan.draft_threshold,
        plan.fixed_steps,
        plan.verification == decoding_pb2.VERIFICATION_RELAXED,
    )


def _sampling(sampling: chat_pb2.Sampling) -> Sampling:
    default, present = Sampling(), {field.name for field, _ in sampling.ListFields()}

    def given(name: str) -> Any:
        return getattr(sampling if name in present else default, name)

    if sampling.HasField("max_tokens") and sampling.max_tokens == 0:
        raise InvalidRequest("sampling.max_tokens", "is 0; ask for at least 1")
    return Sampling(
        max_tokens=int(given("max_tokens")),
        temperature=given("temperature"),
        top_p=given("top_p"),
        top_k=int(given("top_k")),
        seed=int(given("seed")),
        stop=tuple(sampling.stop),
        min_p=given("min_p"),
        repetition_penalty=given("repetition_penalty"),
        presence_penalty=given("presence_penalty"),
        frequency_penalty=given("frequency_penalty"),
        logit_bias=tuple(sorted(sampling.logit_bias.items())),
        logprobs=int(sampling.logprobs) if "logprobs" in present else None,
    )


def _format(message: chat_pb2.ResponseFormat) -> ResponseFormat | None:
    kind = message.WhichOneof("constraint")
    return None if kind is None else ResponseFormat(FormatKind(kind), getattr(message, kind))


def _add_call(commit: engine_pb2.Commit, call: CallEvent) -> None:
    match call:
        case CallPiece():
            commit.call_pieces.add(number=call.number, name=call.name, arguments_json=call.arguments)
        case WrittenCall():
            commit.calls.add(
                name=call.name,
                arguments_json=call.arguments,
                first_token=call.first,
                end_token=call.end,
                number=call.number,
            )
        case BrokenCall():
            commit.broken_calls.append(call.first)


def _logprob(one: TokenLogprob) -> decoding_pb2.TokenLogprob:
    message = decoding_pb2.TokenLogprob(token_id=one.token, log_probability=one.log_probability)
    for token, log_probability in one.top:
        message.top.add(token_id=token, log_probability=log_probability)
    return message


def _pass(record: PassRecord) -> decoding_pb2.PassRecord:
    return decoding_pb2.PassRecord(
        index=record.index,
        kind=decoding_pb2.PassRecord.Kind.ValueType(record.kind),
        segment=record.segment,
        width=record.width,
        proposed_ids=record.proposed,
        confidences=record.confidences,
        proposed_behind=record.proposed_behind,
        fixed_slots=record.fixed_slots,
        accepted=record.accepted,
        rejected_ids=record.rejected,
        sources=[decoding_pb2.DraftSource.ValueType(source) for source in record.sources],
        forced=record.forced,
        committed_ids=record.committed,
        start_us=record.start_us,
        duration_us=record.duration_us,
        batch=record.batch,
        other_rows=record.other_rows,
        lossy=record.lossy,
    )


def _finish(event: Finished) -> engine_pb2.Finish:
    usage, timings = event.usage, event.timings
    return engine_pb2.Finish(
        reason=decoding_pb2.FinishReason.ValueType(event.reason),
        text=event.text,
        speech=_stretches(event.speech),
        usage=decoding_pb2.Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            drafted_tokens=usage.drafted,
            accepted_prediction_tokens=usage.accepted,
            rejected_prediction_tokens=usage.rejected,
            passes=usage.passes,
            prefill_passes=usage.prefill_passes,
            cached_prompt_tokens=usage.cached_prompt_tokens,
            preemptions=usage.preemptions,
            forced_tokens=usage.forced,
            lossy_tokens=usage.lossy,
        ),
        timings=decoding_pb2.Timings(
            queue_us=timings.queue_us,
            prefill_us=timings.prefill_us,
            decode_us=timings.decode_us,
            first_token_us=timings.first_token_us,
        ),
    )
