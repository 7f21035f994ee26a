"""Statuses, health, reflection, start and drain of a real service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from triroute.proto import chat_pb2, router_pb2, router_pb2_grpc
from triroute.router.errors import STATUS, InvalidPolicy, StartFailed, TrirouteError, Violation, to_status
from triroute.router.service import SERVICE, Service
from triroute.router.settings import Settings

from . import fake_engine

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(listen="127.0.0.1:0", records=tmp_path / "r.sqlite", engine=fake_engine.command(), otlp_endpoint="")


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with Service(settings) as running:
        yield running


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(service.address) as one:
        yield one


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> router_pb2_grpc.RouterStub:
    return router_pb2_grpc.RouterStub(channel)


def ask(text: str = "go on", tokens: int = 5) -> router_pb2.GenerateRequest:
    return router_pb2.GenerateRequest(text=text, sampling=chat_pb2.Sampling(max_tokens=tokens))


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    return status


async def start(settings: Settings) -> None:
    async with Service(settings):
        pass


async def test_bug_is_named_in_the_log_and_nowhere_else(
    service: Service, stub: router_pb2_grpc.RouterStub, caplog: pytest.LogCaptureFixture
) -> None:
    sound, service.pipeline.live = service.pipeline.live, None  # type: ignore[assignment]
    with pytest.raises(grpc.aio.AioRpcError) as streamed:
        [event async for event in stub.Generate(ask())]
    with pytest.raises(grpc.aio.AioRpcError) as single:
        await stub.Decide(ask())
    for error in (streamed.value, single.value):
        assert error.code() is grpc.StatusCode.INTERNAL
        request_id = (error.details() or "").removeprefix("the service failed on request ")[:32]
        assert f"{request_id} failed by a bug of ours" in caplog.text
        assert "AttributeError" in caplog.text
        assert b"AttributeError" not in status_of(error).SerializeToString()
    service.pipeline.live = sound
    assert (await stub.Decide(ask())).rule_id


async def test_many_violations_reach_the_client(stub: router_pb2_grpc.RouterStub) -> None:
    empty = [chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER) for _ in range(900)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [event async for event in stub.Generate(router_pb2.GenerateRequest(chat=chat_pb2.Chat(messages=empty)))]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    details = status_of(caught.value).details
    assert any(detail.Unpack(info) for detail in details)
    assert any(detail.Unpack(bad) for detail in details)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "triroute")
    assert [violation.field for violation in bad.field_violations[:2]] == [
        "chat.messages[0].content",
        "chat.messages[1].content",
    ]


async def test_worst_message_reaches_the_client(service: Service, stub: router_pb2_grpc.RouterStub) -> None:
    choice = chat_pb2.ToolChoice(kind=chat_pb2.ToolChoice.KIND_NAMED, name="海" * 100_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Decide(router_pb2.GenerateRequest(text="x", tool_choice=choice))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("tool_choice.name: '海海")


@pytest.mark.parametrize("kind", STATUS)
def test_every_error_has_a_status(kind: type[TrirouteError]) -> None:
    error = kind("what to do", violations=(Violation("a.b", "is wrong"),), retry_ms=1_250)
    code, message, details = to_status(error)
    status, retry = status_pb2.Status.FromString(details), error_details_pb2.RetryInfo()
    assert (code, message) == (STATUS[kind][0], "what to do")
    assert (status.code, status.message) == (code.value[0], "what to do")
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() == 1_250


async def test_unknown_record(stub: router_pb2_grpc.RouterStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetRecord(router_pb2.GetRecordRequest(id="0123456789"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_and_reflection(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
    async for answer in call:
        assert SERVICE in [one.name for one in answer.list_services_response.service]


async def test_drain_lets_steps_finish_and_takes_no_more(
    service: Service, channel: grpc.aio.Channel, stub: router_pb2_grpc.RouterStub
) -> None:
    watch = aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE)))
    assert (await anext(watch)).status == SERVING
    step = aiter(stub.Generate(ask('{"delay": 0.03}', tokens=20)))
    events = [await anext(step)]
    draining = asyncio.create_task(service.drain())
    assert (await anext(watch)).status == NOT_SERVING
    async with grpc.aio.insecure_channel(service.address) as late:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router_pb2_grpc.RouterStub(late).Decide(ask(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    events += [event async for event in step]
    assert events[-1].finish.usage.completion_tokens == 20
    async with asyncio.timeout(service.settings.drain_seconds / 2):
        await draining  # the health watcher, still there, holds nothing up


async def test_drain_has_a_bound(settings: Settings) -> None:
    async with (
        Service(replace(settings, drain_seconds=0.2)) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        step = aiter(router_pb2_grpc.RouterStub(channel).Generate(ask('{"delay": 0.05}', tokens=100_000)))
        await anext(step)
        async with asyncio.timeout(20):
            await service.drain()
        with pytest.raises(grpc.aio.AioRpcError):
            [event async for event in step]


async def test_port_taken(service: Service, settings: Settings) -> None:
    with pytest.raises(StartFailed, match="choose another with --listen"):
        await start(replace(settings, listen=service.address))


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999"])
async def test_bad_address(settings: Settings, listen: str) -> None:
    with pytest.raises(StartFailed, match="--listen"):
        await start(replace(settings, listen=listen))


async def test_policy_is_read_before_anything_starts(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    with pytest.raises(InvalidPolicy, match=r"policy\.yaml:1"):
        Service(replace(settings, policy=path))


async def test_failed_start_leaves_nothing_behind(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    broken = replace(settings, engine=fake_engine.command("--fail-start", "no model"))
    service = Service(broken)
    with pytest.raises(StartFailed, match="no model"):
        await service.__aenter__()
    assert service.supervisor.pid is None
    async with Service(replace(settings, listen=service.address)) as successor:
        assert successor.address == service.address
    assert not caplog.records
