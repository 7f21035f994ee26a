"""The life of a step against a real engine process that fails on demand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triroute.proto import chat_pb2, decoding_pb2, engine_pb2, router_pb2, router_pb2_grpc
from triroute.router import features
from triroute.router.convert.decision import from_decision
from triroute.router.policy import decide, parse
from triroute.router.policy.traffic.recorded import kept_policy
from triroute.router.run import digest
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.types import Load

from . import fake_engine

AR, SPECULATION = decoding_pb2.MODE_AUTOREGRESSIVE, decoding_pb2.MODE_SELF_SPECULATION
SEED = 3


@pytest.fixture
def given_settings(tmp_path: Path) -> Settings:
    return Settings(listen="127.0.0.1:0", records=tmp_path / "r.sqlite", engine=fake_engine.command(), otlp_endpoint="")


@pytest.fixture
async def service(given_settings: Settings) -> AsyncIterator[Service]:
    async with Service(given_settings) as running:
        yield running


def ask(*, tokens: int = 12, mode: decoding_pb2.Mode.ValueType = AR, **script: Any) -> router_pb2.GenerateRequest:
    return router_pb2.GenerateRequest(
        text=json.dumps(script) if script else "go on",
        sampling=chat_pb2.Sampling(max_tokens=tokens, seed=SEED),
        hints=router_pb2.DecodeHints(mode=mode),
    )


async def run(service: Service, request: router_pb2.GenerateRequest, **call: Any) -> list[router_pb2.GenerateEvent]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        return [event async for event in router_pb2_grpc.RouterStub(channel).Generate(request, **call)]


async def failure(service: Service, request: router_pb2.GenerateRequest, **call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(service, request, **call)
    return caught.value


async def record(service: Service, wanted: str) -> router_pb2.Record:
    async with grpc.aio.insecure_channel(service.address) as channel:
        found: router_pb2.Record = await router_pb2_grpc.RouterStub(channel).GetRecord(
            router_pb2.GetRecordRequest(id=wanted)
        )
    return found


def text(events: list[router_pb2.GenerateEvent]) -> str:
    return "".join(event.delta.text for event in events)


def tokens(events: list[router_pb2.GenerateEvent]) -> list[int]:
    return [token for event in events for token in event.delta.token_ids]


def check_whole(events: list[router_pb2.GenerateEvent], length: int) -> router_pb2.Finish:
    """Decision first, one finish last, and the bytes that an undisturbed run gives."""
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], kinds[-1]) == ("decision", "finish")
    assert set(kinds[1:-1]) == {"delta"}
    expected = fake_engine.output(SEED, length)
    assert tokens(events) == expected
    assert text(events) == fake_engine.text(expected)
    return events[-1].finish


async def idle(service: Service) -> None:
    """Until the engine itself says that nothing runs."""
    await fake_engine.until(lambda: not service.supervisor.client.load.running)


async def test_counts_follow_from_the_passes(service: Service) -> None:
    finish = check_whole(await run(service, ask(tokens=5, mode=SPECULATION)), 5)
    usage, (segment,) = finish.usage, finish.segments
    assert (usage.prompt_tokens, usage.completion_tokens, usage.passes, usage.prefill_passes) == (7, 5, 6, 0)
    drafted = (usage.drafted_tokens, usage.accepted_prediction_tokens, usage.rejected_prediction_tokens)
    assert drafted == (6, 3, 3)
    assert (segment.drafted, segment.accepted, segment.rejected, segment.accept_path) == (6, 3, 3, "020201")
    assert segment.mode == SPECULATION


async def test_record_holds_everything_but_the_prompt(service: Service) -> None:
    request = ask(tokens=4, mode=SPECULATION)
    request.text = "a secret prompt"
    events = await run(service, request)
    found = await record(service, events[0].decision.request_id)
    assert found.decision == events[0].decision
    assert found.finish == events[-1].finish
    assert list(found.token_ids) == tokens(events)
    assert [made.index for made in found.passes] == [0, 1, 2, 3]
    assert {998, *found.token_ids} == set(found.token_text)
    assert found.token_text[found.token_ids[0]] == fake_engine.text([found.token_ids[0]])
    assert found.model == fake_engine.MODEL
    assert found.request_sha256 == digest(found.request_salt, request)
    again = await record(service, (await run(service, request))[0].decision.request_id)
    assert again.request_sha256 != found.request_sha256
    assert b"secret" not in found.SerializeToString()


async def test_record_is_enough_to_decide_again(service: Service) -> None:
    request = ask(tokens=4, mode=SPECULATION)
    request.tags.append("draft")
    events = await run(service, request)
    found = await record(service, events[0].decision.request_id)
    assert found.features.hints == request.hints
    assert list(found.features.tags) == ["draft"]
    (switch,) = found.features.load.switches
    assert (switch.figure, switch.bound, switch.reset, switch.tripped) == ("running", 8, 6, False)
    again = decide(service.policy, *features.read(found.features))
    assert from_decision(again, found.request_id, found.decision.trace_id) == found.decision
    kept = kept_policy(service.records, found.decision.policy_revision)
    assert kept == service.policy
    described = service.records.kept(found.engine_sha256)
    assert described is not None
    assert engine_pb2.Description.FromString(described) == service.supervisor.description


async def test_record_of_a_refusal_holds_its_features(service: Service) -> None:
    request = ask()
    request.hints.block_length = 99
    assert (await failure(service, request)).code() is grpc.StatusCode.INVALID_ARGUMENT
    await service.pipeline.settle()
    await asyncio.to_thread(service.pipeline.records.flush)
    (found,) = service.records.latest(1)
    assert found.error.startswith("HINT")
    assert found.features.hints.block_length == 99
    assert not found.decision.rule_id


@pytest.mark.parametrize("mode", [AR, SPECULATION])
async def test_killed_engine_changes_no_byte(service: Service, mode: decoding_pb2.Mode.ValueType) -> None:
    finish = check_whole(await run(service, ask(mode=mode, kill_at=[4, 8])), 12)
    assert finish.resumes >= 2
    assert service.supervisor.restarts >= 2


SEGMENTED = """
version: 1
metadata: {name: segmented}
hints: {allow: [mode]}
rules:
  - id: all
    use: {mode: autoregressive, segments: {code: {mode: self_speculation, variant: quadratic, block_length: 4}}}
"""


@pytest.mark.parametrize("kill_at", [(), (2,), (4,), (6, 9), (8,)])
async def test_segments_keep_their_numbers_when_the_engine_dies(
    given_settings: Settings, tmp_path: Path, kill_at: tuple[int, ...]
) -> None:
    (tmp_path / "p.yaml").write_text(SEGMENTED)
    request = ask(kill_at=kill_at, segments=[4, 8], calls=[[5, 7], [6, 9]])
    request.hints.mode = decoding_pb2.MODE_UNSPECIFIED
    async with Service(replace(given_settings, policy=tmp_path / "p.yaml")) as service:
        events = await run(service, request)
        finish = check_whole(events, 12)
        found = await record(service, events[0].decision.request_id)
        by_call = await record(service, found.calls[1].id)
    prose, code = decoding_pb2.SEGMENT_KIND_PROSE, decoding_pb2.SEGMENT_KIND_CODE
    assert [(own.kind, own.plan.variant) for own in events[0].decision.segments] == [
        (code, decoding_pb2.VARIANT_QUADRATIC)
    ]
    ran = [(s.index, s.kind, s.mode, s.tokens, s.plan.block_length) for s in finish.segments]
    assert ran == [(0, prose, AR, 4, 0), (1, code, SPECULATION, 4, 4), (2, prose, AR, 4, 0)]
    deltas = [event.delta for event in events if event.HasField("delta")]
    placed = [(delta.segment, delta.kind) for delta in deltas for _ in delta.token_ids]
    assert placed == [(0, prose)] * 4 + [(1, code)] * 4 + [(2, prose)] * 4
    assert [made.segment for made in found.passes] == [0] * 4 + [1] * 4 + [2] * 4
    assert [(call.name, list(call.segments)) for call in found.calls] == [("search", [1]), ("search", [1, 2])]
    assert by_call == found


async def test_an_accepted_hint_holds_in_every_segment(given_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SEGMENTED)
    async with Service(replace(given_settings, policy=tmp_path / "p.yaml")) as service:
        events = await run(service, ask(mode=AR))
    assert [own.plan.mode for own in events[0].decision.segments] == [AR]


async def test_kill_from_outside_with_neighbours(service: Service) -> None:
    steps = [asyncio.create_task(run(service, ask(tokens=30, delay=0.02))) for _ in range(4)]
    await fake_engine.until(lambda: service.supervisor.client.load.running == 4)
    pid = service.supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for events in await asyncio.gather(*steps):
        assert check_whole(events, 30).resumes == 1


async def test_finish_is_sent_once_though_the_engine_dies_right_after(service: Service) -> None:
    check_whole(await run(service, ask(end="kill")), 12)
    check_whole(await run(service, ask()), 12)


async def test_broken_calls_have_a_bound(service: Service) -> None:
    error = await failure(service, ask(drop_at=[0]))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "lost 4 times under this step" in (error.details() or "")
    status, retry = rpc_status.from_call(error), error_details_pb2.RetryInfo()  # type: ignore[arg-type]
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    check_whole(await run(service, ask()), 12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drops=st.lists(st.integers(1, 11), max_size=5, unique=True),
    end=st.sampled_from(["finish", "silent", "failed", "invalid"]),
    mode=st.sampled_from([AR, SPECULATION]),
)
async def test_exactly_one_end(service: Service, drops: list[int], end: str, mode: decoding_pb2.Mode.ValueType) -> None:
    events, error = [], None
    async with grpc.aio.insecure_channel(service.address) as channel:
        try:
            request = ask(mode=mode, drop_at=drops, end=end)
            async for event in router_pb2_grpc.RouterStub(channel).Generate(request):
                events.append(event)
        except grpc.aio.AioRpcError as caught:
            error = caught
    finishes = [event for event in events if event.HasField("finish")]
    assert len(finishes) + (error is not None) == 1
    expected = fake_engine.text(fake_engine.output(SEED, 12))
    assert expected.startswith(text(events))
    if finishes:
        check_whole(events, 12)
    found = await record(service, events[0].decision.request_id)
    assert bool(found.error) == (error is not None)
    assert list(found.token_ids) == tokens(events)


async def test_what_only_the_engine_can_judge(service: Service) -> None:
    error = await failure(service, ask(end="invalid"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "sampling.max_tokens: shorten the prompt"
    status, bad = rpc_status.from_call(error), error_details_pb2.BadRequest()  # type: ignore[arg-type]
    assert status is not None
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == ["sampling.max_tokens"]


async def test_engine_failure_is_named(service: Service) -> None:
    error = await failure(service, ask(end="failed"))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.INTERNAL,
        "the engine failed: a tensor went missing",
    )


async def test_cancel_reaches_the_engine(service: Service) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        call = router_pb2_grpc.RouterStub(channel).Generate(ask(tokens=10_000, delay=0.01))
        decision = (await call.read()).decision
        await call.read()
        call.cancel()
    await idle(service)
    assert (await record(service, decision.request_id)).error.startswith("CANCELLED")
    assert not service.pipeline.running


async def test_deadline_reaches_the_engine(service: Service) -> None:
    error = await failure(service, ask(tokens=10_000, delay=0.01), timeout=0.5)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await idle(service)


@pytest.mark.parametrize("script", [{"slow_start": 0.3}, {"delay": 0.01}, {"kill_at": [2]}])
async def test_abort_at_any_time(service: Service, script: dict[str, Any]) -> None:
    """Before the engine knows the request, while it runs, and while there is no engine."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = router_pb2_grpc.RouterStub(channel)
        call = aiter(stub.Generate(ask(tokens=1_000, **script)))
        request_id = (await anext(call)).decision.request_id
        if "kill_at" in script:
            await fake_engine.until(lambda: service.supervisor.pid is None)
        assert (await stub.Abort(router_pb2.AbortRequest(request_id=request_id))).found
        events = [event async for event in call]
        assert events[-1].finish.reason == decoding_pb2.FINISH_REASON_ABORTED
        assert sum(event.HasField("finish") for event in events) == 1
        assert not (await stub.Abort(router_pb2.AbortRequest(request_id=request_id))).found


async def test_overload_says_when_to_come_back(given_settings: Settings) -> None:
    async with (
        Service(replace(given_settings, most_in_flight=1)) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        call = router_pb2_grpc.RouterStub(channel).Generate(ask(tokens=10_000, delay=0.01))
        await call.read()
        error = await failure(service, ask())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status, retry = rpc_status.from_call(error), error_details_pb2.RetryInfo()  # type: ignore[arg-type]
        assert status is not None
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.ToMilliseconds() == 250
        call.cancel()
        await idle(service)
        check_whole(await run(service, ask()), 12)


async def test_load_switches_hold_between_steps(service: Service) -> None:
    rule = "{id: calm, when: {load: {running: {lt: 2, resume_at: 0}}}, use: {}}"
    text = f"version: 1\nmetadata: {{name: t}}\nrules:\n  - {rule}\n  - {{id: rest, use: {{}}}}"
    service.pipeline.live.swap(parse(text, "p"), "a test")

    async def rule_at(running: int) -> str:
        service.supervisor.client.load = Load(running)
        return (await service.pipeline.decide(ask())).rule_id

    assert [await rule_at(running) for running in (1, 2, 1, 0, 1)] == ["calm", "rest", "rest", "calm", "calm"]


async def test_record_says_what_the_step_turned_out_to_be(service: Service) -> None:
    request = ask()
    request.tags.append("framework:crewai")
    request.text = "long " * 10_000
    events = await run(service, request)
    kept = await record(service, events[0].decision.request_id)
    assert kept.framework == "crewai"
    assert kept.observed == router_pb2.STEP_KIND_PROSE
    assert kept.features.characters_cut > 49_000
    assert len(kept.features.classifier_revision) == 12
    assert sum(service.pipeline.watch.counts.values()) == 1
