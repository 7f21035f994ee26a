"""Spans as a real OTLP receiver gets them, and collectors that are not there."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from triroute.proto import chat_pb2, decoding_pb2, router_pb2, router_pb2_grpc
from triroute.router.policy import parse
from triroute.router.policy.trial import Candidate
from triroute.router.run import Run
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.telemetry.entry import by_grpc
from triroute.router.telemetry.span_export import Dropped
from triroute.router.telemetry.tracer import Telemetry
from triroute.router.types import Request

from .. import fake_engine

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
SPECULATION = decoding_pb2.MODE_SELF_SPECULATION


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector's trace service."""

    batches: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    address: str = ""

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.batches.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> dict[str, trace_pb2.Span]:
        return {span.name: span for span in self.all}

    @property
    def all(self) -> list[trace_pb2.Span]:
        resources = [resource for batch in self.batches for resource in batch.resource_spans]
        return [span for one in resources for scope in one.scope_spans for span in scope.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one, server = Receiver(), grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(one, server)
    one.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield one
    server.stop(0).wait()


@asynccontextmanager
async def serving(folder: Path, endpoint: str) -> AsyncIterator[router_pb2_grpc.RouterStub]:
    engine = fake_engine.command()
    settings = Settings(listen="127.0.0.1:0", records=folder / "r.sqlite", engine=engine, otlp_endpoint=endpoint)
    async with Service(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        yield router_pb2_grpc.RouterStub(channel)


def ask(prompt: str = "a secret prompt", seed: int = 3) -> router_pb2.GenerateRequest:
    return router_pb2.GenerateRequest(
        text=prompt,
        sampling=chat_pb2.Sampling(max_tokens=5, temperature=0.5, top_p=0.75, top_k=9, seed=seed, stop=["END"]),
        session_id="s-1",
        hints=router_pb2.DecodeHints(mode=SPECULATION, block_length=4),
    )


def tags(span: trace_pb2.Span) -> dict[str, object]:
    return {tag.key: _plain(tag.value) for tag in span.attributes}


def _plain(value: common_pb2.AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, str(kind))


async def test_span_tree(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, receiver.address) as stub:
        events = [event async for event in stub.Generate(ask(), metadata=TRACEPARENT)]
    decision, finish, spans = events[0].decision, events[-1].finish, receiver.spans
    assert decision.trace_id == TRACE
    assert sorted(spans) == sorted(
        [
            "triroute.v1.Router/Generate",
            "route",
            f"text_completion {fake_engine.MODEL}",
            "queue",
            "prefill",
            "decode self_speculation",
        ]
    )
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    server, route = spans["triroute.v1.Router/Generate"], spans["route"]
    model, decode = spans[f"text_completion {fake_engine.MODEL}"], spans["decode self_speculation"]
    assert server.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert route.kind == trace_pb2.Span.SPAN_KIND_INTERNAL
    assert server.parent_span_id.hex() == PARENT
    assert route.parent_span_id == model.parent_span_id == server.span_id
    for name in ("queue", "prefill", "decode self_speculation"):
        assert spans[name].parent_span_id == model.span_id
    assert (
        tags(route).items()
        >= {
            "triroute.step.kind": router_pb2.StepKind.Name(decision.step).removeprefix("STEP_KIND_").lower(),
            "triroute.step.confidence": decision.confidence,
            "triroute.policy.rule": decision.rule_id,
            "triroute.policy.revision": decision.policy_revision,
        }.items()
    )
    assert (
        tags(model).items()
        >= {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.provider.name": "triroute",
            "gen_ai.request.model": fake_engine.MODEL,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.request.top_p": 0.75,
            "gen_ai.request.top_k": 9,
            "gen_ai.request.max_tokens": 5,
            "gen_ai.request.seed": 3,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": "s-1",
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 5,
        }.items()
    )
    assert tags(model)["gen_ai.response.finish_reasons"] == ["length"]
    assert tags(model)["gen_ai.request.stop_sequences"] == ["END"]
    assert tags(decode) == {
        "triroute.segment.index": 0,
        "triroute.mode": "self_speculation",
        "triroute.variant": "linear",
        "triroute.block_length": 4,
        "triroute.draft_sources": ["diffusion", "prompt_lookup"],
        "triroute.passes": 6,
        "triroute.drafted": 6,
        "triroute.accepted": 3,
        "triroute.rejected": 3,
        "triroute.forced": 0,
        "triroute.tokens_per_forward": 5 / 6,
        "triroute.accept_path": "020201",
    }
    assert decode.attributes[-1].key == "triroute.accept_path"
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans.values())
    queue, prefill, timings = spans["queue"], spans["prefill"], finish.timings
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == timings.queue_us * 1000
    assert prefill.start_time_unix_nano == queue.end_time_unix_nano
    assert prefill.end_time_unix_nano - prefill.start_time_unix_nano == timings.prefill_us * 1000
    assert all(span.status.code != trace_pb2.Status.STATUS_CODE_ERROR for span in spans.values())
    assert {event.name for span in spans.values() for event in span.events} <= {"triroute.rejection"}
    sent = b"".join(batch.SerializeToString() for batch in receiver.batches)
    assert b"secret" not in sent
    assert b"triroute-router" in sent


async def test_a_span_for_each_segment(tmp_path: Path, receiver: Receiver) -> None:
    asked = ask(json.dumps({"segments": [2, 4], "calls": [[3, 4]]}))
    asked.sampling.max_tokens = 6
    async with serving(tmp_path, receiver.address) as stub:
        events = [event async for event in stub.Generate(asked)]
    spans = [span for span in receiver.all if span.name.startswith("decode")]
    told = [tags(span) for span in spans]
    assert [(one["triroute.segment.index"], one["triroute.segment.kind"]) for one in told] == [
        (0, "prose"),
        (1, "code"),
        (2, "prose"),
    ]
    assert [one["triroute.passes"] for one in told] == [s.passes for s in events[-1].finish.segments]
    call = f"call_{events[0].decision.request_id[:24]}_0 search"
    assert [one.get("triroute.tool_calls") for one in told] == [None, [call], None]
    for before, after in pairwise(spans):
        assert before.end_time_unix_nano == after.start_time_unix_nano


async def test_spans_stay_few_however_many_segments(tmp_path: Path, receiver: Receiver) -> None:
    asked = ask(json.dumps({"segments": [*range(2, 60, 2)]}))
    asked.sampling.max_tokens = 60
    async with serving(tmp_path, receiver.address) as stub:
        events = [event async for event in stub.Generate(asked)]
    assert len(events[-1].finish.segments) == 30
    told = [tags(span) for span in receiver.all if span.name.startswith("decode")]
    assert [one["triroute.segment.index"] for one in told] == list(range(16))
    assert [one.get("triroute.segments_more") for one in told] == [None] * 15 + [14]


async def test_failed_step_keeps_what_it_decoded(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, receiver.address) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            [event async for event in stub.Generate(ask(json.dumps({"end": "failed"})))]
    server, decode = receiver.spans["triroute.v1.Router/Generate"], receiver.spans["decode self_speculation"]
    assert server.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert tags(server)["error.type"] == "ENGINE_FAILED"
    assert tags(decode)["triroute.accept_path"] == "020201"


async def test_cancelled_step_is_traced(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, receiver.address) as stub:
        call = stub.Generate(ask(json.dumps({"delay": 0.05})))
        await call.read()
        await call.read()
        call.cancel()
    assert tags(receiver.spans["triroute.v1.Router/Generate"])["error.type"] == "CANCELLED"


async def test_policy_on_trial_is_traced(tmp_path: Path, receiver: Receiver) -> None:
    text = "version: 1\nmetadata: {name: next}\nrules: [{id: only, use: {mode: diffusion}}]"
    candidate = parse(text, "next")
    engine = fake_engine.command()
    given = Settings(listen="127.0.0.1:0", records=tmp_path / "r.sqlite", engine=engine, otlp_endpoint=receiver.address)
    async with Service(given) as service, grpc.aio.insecure_channel(service.address) as channel:
        stable = service.policy.revision
        service.pipeline.live.put_on_trial(Candidate(candidate.revision, 100), candidate, "a test")
        decision = (await anext(aiter(router_pb2_grpc.RouterStub(channel).Generate(ask())))).decision
        await fake_engine.until(lambda: not service.pipeline.running)
    route = tags(receiver.spans["route"])
    assert (route["triroute.policy.arm"], route["triroute.policy.revision"]) == ("canary", candidate.revision)
    assert str(route["triroute.shadow.policy"]).startswith(f"{stable[:12]}: ")
    assert route["triroute.shadow.agrees"] is False
    assert decision.arm == router_pb2.ARM_CANARY


async def test_any_seed_can_be_exported(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, receiver.address) as stub:
        [event async for event in stub.Generate(ask(seed=2**64 - 1))]
    assert "gen_ai.request.seed" not in tags(receiver.spans[f"text_completion {fake_engine.MODEL}"])


def test_ids_leave_the_shared_randomness_alone() -> None:
    """Programs that seed `random` would get the same traces again, and be disturbed by each span."""
    state = random.getstate()
    ids = set()
    for _ in range(2):
        random.seed(7)
        ids.add(Telemetry("").provider.id_generator.generate_trace_id())
        assert random.getstate() == random.Random(7).getstate()
    random.setstate(state)
    assert len(ids) == 2


async def test_trace_ids_without_a_collector(tmp_path: Path) -> None:
    async with serving(tmp_path, "") as stub:
        ids = {(await anext(aiter(stub.Generate(ask())))).decision.trace_id for _ in range(3)}
    assert len(ids) == 3
    assert "0" * 32 not in ids


@pytest.fixture(params=["dead", "hanging"])
def useless(request: pytest.FixtureRequest) -> Iterator[str]:
    """A port that refuses, and one that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        address = f"http://127.0.0.1:{one.getsockname()[1]}"
        if request.param == "dead":
            one.close()
        yield address


async def test_useless_collector_costs_nothing_but_a_line(
    tmp_path: Path, useless: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(30):
        async with serving(tmp_path, useless) as stub:
            for _ in range(3):
                events = [event async for event in stub.Generate(ask())]
                assert events[-1].HasField("finish")
    said = [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert said == [f"spans can't be sent to {useless}; requests go on without", "18 spans were never sent"]


def test_overfull_queue_is_bounded_and_quiet(useless: str, caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry(useless)
    run = Run(router_pb2.GenerateRequest(text="x"), Request(text="x"))
    run.ended_ns = run.arrived_ns
    by = by_grpc({})
    for _ in range(5_000):
        telemetry.end(run, by, telemetry.begin(run, by), "m", dict)
    assert telemetry.dropped.queue_full > 0
    telemetry.close()
    dropped = telemetry.dropped
    assert dropped.queue_full + dropped.export_failed == 5_000
    assert [entry.message for entry in caplog.records][1:] == ["5000 spans were never sent"]


def test_unsampled_span_is_not_dropped(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    telemetry = Telemetry(receiver.address)
    telemetry.provider.get_tracer("a test").start_span("x").end()
    telemetry.close()
    assert (telemetry.dropped, receiver.all) == (Dropped(), [])
