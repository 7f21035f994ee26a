"""Runs to OpenTelemetry spans: this, `span_export` and `metrics` alone know the SDK. Names are constants here.

Five spans a step and one a segment, of which the last stands for all from the sixteenth on; never one a pass, and few
events. Prompts and outputs are not in them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.moments import Moment, moments, rare
from triroute.router.run import Run
from triroute.router.span_export import Dropped, SpanExport
from triroute.router.words import word

SERVICE = "triroute-router"
SERVER_SPAN, ROUTE_SPAN = "triroute.v1.Router/Generate", "route"
STEP_KIND, STEP_CONFIDENCE = "triroute.step.kind", "triroute.step.confidence"
POLICY_RULE, POLICY_REVISION = "triroute.policy.rule", "triroute.policy.revision"
PASSED_OVER, EVIDENCE = "triroute.policy.passed_over", "triroute.step.evidence"
CLAMPS, HINTS = "triroute.policy.clamps", "triroute.policy.hints"
POLICY_ARM, SHADOW, SHADOW_AGREES = "triroute.policy.arm", "triroute.shadow.policy", "triroute.shadow.agrees"
SEGMENT, SEGMENT_KIND, SEGMENTS_MORE = "triroute.segment.index", "triroute.segment.kind", "triroute.segments_more"
TOOL_CALLS = "triroute.tool_calls"
MODE, VARIANT, BLOCK_LENGTH = "triroute.mode", "triroute.variant", "triroute.block_length"
PASSES, DRAFTED, ACCEPTED, REJECTED = "triroute.passes", "triroute.drafted", "triroute.accepted", "triroute.rejected"
TOKENS_PER_FORWARD, ACCEPT_PATH = "triroute.tokens_per_forward", "triroute.accept_path"
REQUEST_ID, RESUMES = "triroute.request.id", "triroute.resumes"
CHECK, CHECK_PROBLEM, ESCALATIONS = "triroute.check.result", "triroute.check.problem", "triroute.escalations"
UNENFORCED, LOSSY, VERIFICATION = "triroute.unenforced", "triroute.lossy", "triroute.verification"

LINK = "triroute.link"

Attributes = dict[str, str | int | float | bool | list[str]]

_MOST_SEGMENT_SPANS, _MOST_NAMED_CALLS, _MOST_SESSIONS = 16, 16, 4_096
_MOST_SEED = 2**63 - 1  # OTLP's integers are signed


class _Ids(IdGenerator):
    """Ids by the system's randomness: a program that seeds `random` neither repeats them nor is disturbed."""

    def generate_span_id(self) -> int:
        return secrets.randbelow(2**64 - 1) + 1  # 0 is no id

    def generate_trace_id(self) -> int:
        return secrets.randbelow(2**128 - 1) + 1


class Telemetry:
    """Makes spans; exports them over OTLP where an endpoint is given. An outage never reaches a request."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": SERVICE})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=_Ids())
        self._export = SpanExport(endpoint) if endpoint else None
        if self._export is not None:
            self.provider.add_span_processor(self._export)
        self._tracer = self.provider.get_tracer("triroute")
        self._sessions: dict[tuple[str, str], trace.SpanContext] = {}  # their last step, oldest first

    def begin(self, run: Run, metadata: Mapping[str, str]) -> trace.Span:
        """The step's server span, under the caller's `traceparent` where there is one."""
        parent = TraceContextTextMapPropagator().extract(metadata)
        links = self._before(run)
        names = {"rpc.system.name": "grpc", "rpc.method": SERVER_SPAN, REQUEST_ID: run.request_id}
        return self._tracer.start_span(
            SERVER_SPAN, parent, trace.SpanKind.SERVER, attributes=names, links=links, start_time=run.arrived_ns
        )

    def _before(self, run: Run) -> list[trace.Link]:
        """The step before in the same session of the same tenant, so that a tool loop reads as one story."""
        if not run.request.session_id:
            return []
        session = (run.request.tenant, run.request.session_id)
        known = self._sessions.get(session)
        return [trace.Link(known, {LINK: "the step before in the session"})] if known is not None else []

    def _remember(self, run: Run, server: trace.Span) -> None:
        if not run.request.session_id:
            return
        session = (run.request.tenant, run.request.session_id)
        self._sessions.pop(session, None)
        self._sessions[session] = server.get_span_context()
        if len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def end(self, run: Run, server: trace.Span, model: str) -> None:
        """Everything below the server span, and its end."""
        here = trace.set_span_in_context(server)
        if run.decision is not None:
            self._span(ROUTE_SPAN, here, _route(run), run.arrived_ns, run.decided_ns)
            self._chat(run, here, model)
        if run.error:
            _fail(server, run.error)
        self._remember(run, server)
        server.end(run.ended_ns)

    @property
    def dropped(self) -> Dropped:
        """Spans that no collector got."""
        return self._export.dropped if self._export is not None else Dropped()

    def close(self) -> None:
        """Export what is left, within two seconds."""
        if self._export is not None:
            self._export.close()

    def _chat(self, run: Run, parent: Context, model: str) -> None:
        operation = "text_completion" if run.request.text else "chat"
        chat = self._tracer.start_span(
            f"{operation} {model}", parent, attributes=_gen_ai(run, operation, model), start_time=run.decided_ns
        )
        if run.passes:
            self._decoding(run, trace.set_span_in_context(chat))
        for event in rare(run):
            chat.add_event(event.name, event.attributes, event.at)
        if run.error:
            _fail(chat, run.error)
        chat.end(run.ended_ns)

    def _decoding(self, run: Run, parent: Context) -> None:
        admitted, prefilled = _times(run)
        decoding, segments = run.decoding, run.segments()
        self._span("queue", parent, {}, run.decided_ns, admitted)
        self._span("prefill", parent, {PASSES: len(run.passes) - len(decoding)}, admitted, prefilled)
        calls = run.call_records()
        more = max(0, len(segments) - _MOST_SEGMENT_SPANS)
        # The pass that ends the prompt decodes as well, and forced text needs none: neither is told before the prompt.
        starts = [max(prefilled, _start(decoding, one.index, admitted)) for one in segments[:_MOST_SEGMENT_SPANS]]
        for segment, start, until in zip(segments, starts, [*starts[1:], run.ended_ns], strict=False):
            attributes = _segment(segment, calls)
            if more and segment is segments[len(starts) - 1]:
                attributes = {SEGMENTS_MORE: more, **attributes}
            own = [record for record in decoding if record.segment == segment.index]
            self._span(f"decode {attributes[MODE]}", parent, attributes, start, until, moments(own, admitted))

    def _span(
        self,
        name: str,
        parent: Context,
        attributes: Mapping[str, str | int | float | list[str]],
        start: int,
        end: int,
        events: Sequence[Moment] = (),
    ) -> None:
        span = self._tracer.start_span(name, parent, attributes=attributes, start_time=start)
        for event in events:
            span.add_event(event.name, event.attributes, event.at)
        span.end(max(start, end))


def trace_id(span: trace.Span) -> str:
    """The span's trace, 32 hexadecimal digits."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def _fail(span: trace.Span, error: str) -> None:
    span.set_status(trace.Status(trace.StatusCode.ERROR, error))
    span.set_attribute("error.type", error.split(":")[0])


def _times(run: Run) -> tuple[int, int]:
    """When the engine admitted the run and when it had read the prompt, nanoseconds since 1970.

    The engine's own times come with the finish. Without it they follow from the passes: the last one has just ended.
    """
    if run.finish is not None:
        admitted = run.decided_ns + run.finish.timings.queue_us * 1000
        return admitted, admitted + run.finish.timings.prefill_us * 1000
    last = run.passes[-1]
    admitted = max(run.decided_ns, run.ended_ns - (last.start_us + last.duration_us) * 1000)
    return admitted, _start(run.decoding or [last], 0, admitted)


def _start(passes: Sequence[decoding_pb2.PassRecord], segment: int, admitted: int) -> int:
    first = next((record for record in passes if record.segment == segment), passes[0])
    return int(admitted + first.start_us * 1000)


def _route(run: Run) -> Attributes:
    decided = run.decided or router_pb2.Decision()
    attributes: Attributes = {
        STEP_KIND: word(router_pb2.StepKind, decided.step),
        STEP_CONFIDENCE: decided.confidence,
        POLICY_RULE: decided.rule_id,
        POLICY_REVISION: decided.policy_revision,
    }
    lists = {
        EVIDENCE: list(decided.evidence),
        PASSED_OVER: [f"{rule.rule_id}: {rule.why}" for rule in decided.passed_over],
        CLAMPS: [f"{clamp.parameter}: {clamp.asked:g} became {clamp.became:g}" for clamp in decided.clamps],
        HINTS: [f"{h.hint}: {'followed' if h.accepted else 'refused'}, {h.why}" for h in decided.hints],
    }
    attributes |= {name: said for name, said in lists.items() if said}
    if decided.arm:
        attributes[POLICY_ARM] = word(router_pb2.Arm, decided.arm)
    if run.shadow is not None:
        attributes[SHADOW] = f"{run.shadow.policy_revision[:12]}: {run.shadow.rule_id or run.shadow.error}"
        attributes[SHADOW_AGREES] = run.shadow.agrees
    return attributes


def _gen_ai(run: Run, operation: str, model: str) -> Attributes:
    sampling = run.request.sampling
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "triroute",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": run.request_id,
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.top_k": sampling.top_k,
        RESUMES: run.resumes,
    }
    if sampling.seed <= _MOST_SEED:
        attributes["gen_ai.request.seed"] = sampling.seed
    if sampling.stop:
        attributes["gen_ai.request.stop_sequences"] = list(sampling.stop)
    if run.request.session_id:
        attributes["gen_ai.conversation.id"] = run.request.session_id
    if run.finish is not None:
        reason = word(decoding_pb2.FinishReason, run.finish.reason)
        attributes["gen_ai.response.finish_reasons"] = [reason]
        attributes["gen_ai.response.time_to_first_chunk"] = run.finish.timings.first_token_us / 1e6
        attributes["gen_ai.usage.input_tokens"] = run.finish.usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = run.finish.usage.completion_tokens
        attributes["gen_ai.usage.cache_read.input_tokens"] = run.finish.usage.cached_prompt_tokens
        if run.finish.HasField("check"):
            check = run.finish.check
            attributes[CHECK] = word(router_pb2.Check.Result, check.result)
            if check.problem:
                attributes[CHECK_PROBLEM] = f"{check.path}: {check.problem}"
            attributes[ESCALATIONS] = len(run.finish.escalations)
        if run.finish.usage.lossy_tokens:
            attributes[LOSSY] = run.finish.usage.lossy_tokens
        if run.finish.unenforced:
            attributes[UNENFORCED] = list(run.finish.unenforced)
    return attributes


def _segment(segment: router_pb2.SegmentSummary, calls: Sequence[router_pb2.CallRecord]) -> Attributes:
    plan = segment.plan
    attributes: Attributes = {
        SEGMENT: segment.index,
        MODE: word(decoding_pb2.Mode, plan.mode),
        PASSES: segment.passes,
        DRAFTED: segment.drafted,
        ACCEPTED: segment.accepted,
        REJECTED: segment.rejected,
    }
    if segment.passes:
        attributes[TOKENS_PER_FORWARD] = segment.tokens / segment.passes
    if plan.block_length:
        attributes[BLOCK_LENGTH] = plan.block_length
    if plan.variant:
        attributes[VARIANT] = word(decoding_pb2.Variant, plan.variant)
    if plan.verification == decoding_pb2.VERIFICATION_RELAXED:
        attributes[VERIFICATION] = "relaxed"
    if segment.kind:
        attributes[SEGMENT_KIND] = word(decoding_pb2.SegmentKind, segment.kind)
    inside = [f"{call.id} {call.name}" for call in calls if segment.index in call.segments]
    if inside:
        attributes[TOOL_CALLS] = inside[:_MOST_NAMED_CALLS]
    return attributes | {ACCEPT_PATH: segment.accept_path}
