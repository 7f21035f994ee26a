"""Runs to OpenTelemetry spans.

Five spans a step and one a segment, of which the last stands for all from the sixteenth on; never one a pass, and few
events. Prompts and outputs are not in them, unless the policy captures content; where it captures nothing, neither is
any other word of the caller's.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from triroute.proto import decoding_pb2
from triroute.router.run import Run
from triroute.router.telemetry import names, spans
from triroute.router.telemetry.entry import Entry
from triroute.router.telemetry.moments import Moment, moments, rare
from triroute.router.telemetry.span_export import Dropped, SpanExport
from triroute.router.types import Capture

logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)  # it warns with what callers sent as `tracestate`

_MOST_SEGMENT_SPANS, _MOST_SESSIONS = 16, 4_096


class _Ids(IdGenerator):
    """Ids by the system's randomness: a program that seeds `random` neither repeats them nor is disturbed."""

    def generate_span_id(self) -> int:
        return secrets.randbelow(2**64 - 1) + 1  # 0 is no id

    def generate_trace_id(self) -> int:
        return secrets.randbelow(2**128 - 1) + 1


class Telemetry:
    """Makes spans; exports them over OTLP where an endpoint is given. An outage never reaches a request."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": names.SERVICE})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=_Ids())
        self._export = SpanExport(endpoint) if endpoint else None
        if self._export is not None:
            self.provider.add_span_processor(self._export)
        self._tracer = self.provider.get_tracer("triroute")
        self._sessions: dict[tuple[str, str], trace.SpanContext] = {}  # their last step, oldest first

    def begin(self, run: Run, entry: Entry) -> trace.Span:
        """The step's server span, under the caller's `traceparent` where there is one."""
        parent = TraceContextTextMapPropagator().extract(entry.headers)
        links = self._before(run)
        about: spans.Attributes = {**entry.about, names.REQUEST_ID: run.request_id}
        return self._tracer.start_span(
            entry.span, parent, trace.SpanKind.SERVER, attributes=about, links=links, start_time=run.arrived_ns
        )

    def _before(self, run: Run) -> list[trace.Link]:
        """The step before in the same session of the same tenant, so that a tool loop reads as one story."""
        if not run.request.session_id:
            return []
        session = (run.request.tenant, run.request.session_id)
        known = self._sessions.get(session)
        return [trace.Link(known, {names.LINK: "the step before in the session"})] if known is not None else []

    def _remember(self, run: Run, server: trace.Span) -> None:
        if not run.request.session_id:
            return
        session = (run.request.tenant, run.request.session_id)
        self._sessions.pop(session, None)
        self._sessions[session] = server.get_span_context()
        if len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def end(
        self, run: Run, entry: Entry, server: trace.Span, model: str, words: Callable[[], Mapping[int, str]]
    ) -> None:
        """Everything below the server span, and its end. `words`: the text of tokens, called where it may be shown."""
        here = trace.set_span_in_context(server)
        if run.decision is not None:
            self._span(names.ROUTE, here, spans.route(run), run.arrived_ns, run.decided_ns)
            self._chat(run, entry, here, model, words() if run.captures is Capture.CONTENT else None)
        entry.end(server, run.reason, run.error)
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

    def _chat(self, run: Run, entry: Entry, parent: Context, model: str, words: Mapping[int, str] | None) -> None:
        operation = "text_completion" if run.request.text else "chat"
        about = spans.chat(run, operation, model) | {names.STREAM: entry.stream}
        chat = self._tracer.start_span(f"{operation} {model}", parent, attributes=about, start_time=run.decided_ns)
        if run.passes:
            self._decoding(run, trace.set_span_in_context(chat), words)
        for event in rare(run):
            chat.add_event(event.name, event.attributes, event.at)
        if run.error:
            _fail(chat, run)
        chat.end(run.ended_ns)

    def _decoding(self, run: Run, parent: Context, words: Mapping[int, str] | None) -> None:
        admitted, prefilled = _times(run)
        decoding, segments = run.decoding, run.segments()
        self._span(names.QUEUE, parent, {}, run.decided_ns, admitted)
        self._span(names.PREFILL, parent, {names.PASSES: len(run.passes) - len(decoding)}, admitted, prefilled)
        calls = run.call_records()
        more = max(0, len(segments) - _MOST_SEGMENT_SPANS)
        # The pass that ends the prompt decodes as well, and forced text needs none: neither is told before the prompt.
        starts = [max(prefilled, _start(decoding, one.index, admitted)) for one in segments[:_MOST_SEGMENT_SPANS]]
        for segment, start, until in zip(segments, starts, [*starts[1:], run.ended_ns], strict=False):
            own = [record for record in decoding if record.segment == segment.index]
            attributes = spans.segment(segment, own, calls)
            if more and segment is segments[len(starts) - 1]:
                attributes = {names.SEGMENTS_MORE: more, **attributes}
            mode = attributes[names.MODE]
            self._span(f"decode {mode}", parent, attributes, start, until, moments(own, admitted, words))

    def _span(
        self,
        name: str,
        parent: Context,
        attributes: spans.Attributes,
        start: int,
        end: int,
        events: Sequence[Moment] = (),
    ) -> None:
        span = self._tracer.start_span(name, parent, attributes=attributes, start_time=start)
        for event in events:
            span.add_event(event.name, event.attributes, event.at)
        span.end(max(start, end))


def carried(span: trace.Span) -> tuple[tuple[str, str], ...]:
    """The span as the W3C's headers, for whoever works below it."""
    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(span))
    return tuple(headers.items())


def trace_id(span: trace.Span) -> str:
    """The span's trace, 32 hexadecimal digits. Empty where OpenTelemetry is turned off (`OTEL_SDK_DISABLED`)."""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def span_id(span: trace.Span) -> str:
    """16 hexadecimal digits, or empty as well."""
    context = span.get_span_context()
    return trace.format_span_id(context.span_id) if context.is_valid else ""


def _fail(span: trace.Span, run: Run) -> None:
    span.set_status(trace.Status(trace.StatusCode.ERROR, run.error))
    span.set_attribute(names.ERROR, run.reason)


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
