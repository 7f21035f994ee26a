"""Events and links of traces: few, bounded, and without anybody's text."""

from __future__ import annotations

import dataclasses

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.convert.request import to_request
from triroute.router.prompts import build
from triroute.router.run import Run
from triroute.router.telemetry import moments, names, spans, tracer
from triroute.router.telemetry.entry import by_grpc
from triroute.router.telemetry.tracer import Telemetry
from triroute.router.types import Capture, Decision, DecodePlan, Extras, Mode, Step, StepKind

_Pass = decoding_pb2.PassRecord
BY = by_grpc({})


def verify(index: int, rejected: int) -> decoding_pb2.PassRecord:
    return _Pass(
        index=index,
        kind=_Pass.KIND_VERIFY,
        start_us=index * 10,
        duration_us=8,
        rejected_ids=range(rejected),
        committed_ids=[1],
        sources=[1] * rejected,
    )


def traced() -> tuple[Telemetry, InMemorySpanExporter]:
    traces, exporter = Telemetry(""), InMemorySpanExporter()
    traces.provider.add_span_processor(SimpleSpanProcessor(exporter))
    return traces, exporter


def a_run(session: str = "", tenant: str = "") -> Run:
    message = build({"prompt": "a secret prompt", "session_id": session, "tenant": tenant}, "a step")
    run = Run(message, to_request(message))
    run.step = Step(StepKind.PROSE, 1.0)
    run.decision = Decision(run.step, "rule", DecodePlan(Mode.SELF_SPECULATION), "revision")
    run.decided = router_pb2.Decision(rule_id="rule", plan=decoding_pb2.DecodePlan(mode=3))
    run.decided_ns, run.ended_ns = run.arrived_ns + 1_000, run.arrived_ns + 9_000_000
    return run


def test_worst_rejections_are_named_in_order() -> None:
    passes = [verify(index, (index * 7) % 20) for index in range(200)]
    found = moments.moments(passes, 1_000_000)
    assert len(found) == 8
    assert {moment.attributes[names.COUNT] for moment in found} == {19}
    assert [moment.at for moment in found] == sorted(moment.at for moment in found)
    first = found[0]
    assert first.name == names.REJECTION
    index = first.attributes[names.PASS]
    assert isinstance(index, int)
    assert first.at == 1_000_000 + (10 * index + 8) * 1000
    assert first.attributes[names.TOKEN_IDS] == list(range(16))


def test_blocks_say_how_many_steps_they_took() -> None:
    kinds = [_Pass.KIND_DENOISE] * 3 + [_Pass.KIND_REFRESH, _Pass.KIND_DENOISE, _Pass.KIND_REFRESH]
    passes = [_Pass(index=index, kind=kind, committed_ids=[1, 2], start_us=index) for index, kind in enumerate(kinds)]
    found = moments.moments(passes, 0)
    assert [(one.name, one.attributes[names.STEPS]) for one in found] == [(names.BLOCK, 3), (names.BLOCK, 1)]


def test_what_happens_seldom() -> None:
    run = a_run()
    run.resumes = 2
    run.finish = router_pb2.Finish(usage=decoding_pb2.Usage(preemptions=1))
    check = router_pb2.Check(path="$.a", problem="x" * 500 + ": a quote")
    run.escalations = [router_pb2.Escalation(check=check) for _ in range(20)]
    found = list(moments.rare(run))
    assert [one.name for one in found] == [names.ESCALATION] * 8 + [names.RESUME, names.PREEMPTION]
    assert len(str(found[0].attributes[names.WHY])) == 200


def size(spans: tuple[ReadableSpan, ...]) -> int:
    return sum(len(span.to_json(indent=None)) for span in spans)


def test_long_step_stays_small_and_says_nothing_of_its_text() -> None:
    traces, exporter = traced()
    run = a_run()
    run.passes = [verify(index, 3) for index in range(4_000)]
    run._segments.known.append((decoding_pb2.SEGMENT_KIND_UNSPECIFIED, 0))
    server = traces.begin(run, BY)
    traces.end(run, BY, server, "m", dict)
    spans = exporter.get_finished_spans()
    (decode,) = [span for span in spans if span.name.startswith("decode")]
    assert len(decode.events) == 8
    assert size(spans) < 20_000
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_steps_of_a_session_are_linked() -> None:
    traces, exporter = traced()
    for session, tenant in (("a", ""), ("b", ""), ("a", ""), ("a", "other"), ("", ""), ("", ""), ("a", "")):
        run = a_run(session, tenant)
        traces.end(run, BY, traces.begin(run, BY), "m", dict)
    servers = [span for span in exporter.get_finished_spans() if span.name == names.SERVER]
    before = [[link.context.span_id for link in span.links] for span in servers]
    ids = [span.context.span_id for span in servers if span.context]
    assert before == [[], [], [ids[0]], [], [], [], [ids[2]]]


def test_sessions_that_are_remembered_are_bounded() -> None:
    traces, _ = traced()
    for number in range(tracer._MOST_SESSIONS + 10):
        run = a_run(f"s{number}")
        traces._remember(run, traces.begin(run, BY))
    assert len(traces._sessions) == tracer._MOST_SESSIONS


def test_rejected_text_is_told_where_content_is_captured() -> None:
    traces, exporter = traced()
    for capture in (Capture.FEATURES, Capture.CONTENT):
        run = a_run()
        assert run.decision is not None
        run.decision = dataclasses.replace(run.decision, extras=Extras(capture=capture))
        run.passes = [verify(0, 2)]
        run._segments.known.append((decoding_pb2.SEGMENT_KIND_UNSPECIFIED, 0))
        traces.end(run, BY, traces.begin(run, BY), "m", lambda: {0: "left", 1: "out", 7: "?"})
    decodes = [span for span in exporter.get_finished_spans() if span.name.startswith("decode")]
    told = [event.attributes or {} for span in decodes for event in span.events]
    assert [one.get(names.TEXT) for one in told] == [None, "leftout"]


def test_rejected_drafts_of_the_prompt_are_counted_alone() -> None:
    one = verify(0, 20)
    one.sources[:] = [decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP] * 20
    (told,) = moments.moments([one], 0)
    assert told.attributes == {names.PASS: 0, names.COUNT: 20}
    one.sources[3] = decoding_pb2.DRAFT_SOURCE_DIFFUSION
    (told,) = moments.moments([one], 0)
    assert told.attributes == {names.PASS: 0, names.COUNT: 20, names.TOKEN_IDS: [3]}
    (told,) = moments.moments([one], 0, {})
    assert told.attributes[names.TOKEN_IDS] == list(range(16))


def test_spans_carry_what_their_mode_heeds() -> None:
    plans = [
        decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_AUTOREGRESSIVE),
        decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_DIFFUSION, block_length=16, confidence_threshold=0.5),
        decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_DIFFUSION, block_length=16, fixed_steps=3),
    ]
    told = [spans.segment(router_pb2.SegmentSummary(plan=plan), [], []) for plan in plans]
    assert names.BLOCK_LENGTH not in told[0]
    assert (told[1][names.CONFIDENCE_THRESHOLD], told[1][names.BLOCK_LENGTH]) == (0.5, 16)
    assert (told[2][names.FIXED_STEPS], told[2].get(names.CONFIDENCE_THRESHOLD)) == (3, None)
    forced = spans.segment(router_pb2.SegmentSummary(plan=plans[0]), [_Pass(forced=[1, 2]), _Pass(forced=[3])], [])
    assert forced[names.FORCED] == 3
