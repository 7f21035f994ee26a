"""A service's audit log: levels by policy, and what it tells beside the steps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from triroute.proto import audit_pb2, chat_pb2, router_pb2, router_pb2_grpc
from triroute.router.audit.chronicle import plain
from triroute.router.audit.entries import read_entries
from triroute.router.audit.verify import verify
from triroute.router.prompts import build
from triroute.router.run import Run
from triroute.router.service import Service
from triroute.router.settings import Settings

from . import fake_engine

POLICY = """
version: 1
metadata: {name: audited}
hints: {allow: [mode]}
rules:
  - {id: strict, when: {tags: {any: [strict]}}, use: {mode: autoregressive, audit: required}}
  - {id: otherwise, use: {mode: self_speculation, variant: linear}}
"""


@pytest.fixture
def given_settings(tmp_path: Path) -> Settings:
    (tmp_path / "p.yaml").write_text(POLICY)
    return Settings(
        listen="127.0.0.1:0",
        policy=tmp_path / "p.yaml",
        records=tmp_path / "log" / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
    )


@pytest.fixture
async def service(given_settings: Settings) -> AsyncIterator[Service]:
    async with Service(given_settings) as running:
        yield running


def ask(*tags: str, tokens: int = 6) -> router_pb2.GenerateRequest:
    sampling = chat_pb2.Sampling(max_tokens=tokens, seed=3)
    return router_pb2.GenerateRequest(text="go on", sampling=sampling, tags=tags)


async def collect(
    service: Service, request: router_pb2.GenerateRequest
) -> tuple[list[router_pb2.GenerateEvent], grpc.aio.AioRpcError | None]:
    """What comes until the end, or until an error."""
    events: list[router_pb2.GenerateEvent] = []
    async with grpc.aio.insecure_channel(service.address) as channel:
        try:
            async for event in router_pb2_grpc.RouterStub(channel).Generate(request):
                events.append(event)
        except grpc.aio.AioRpcError as error:
            return events, error
    return events, None


async def run(service: Service, request: router_pb2.GenerateRequest) -> list[router_pb2.GenerateEvent]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        return [event async for event in router_pb2_grpc.RouterStub(channel).Generate(request)]


async def test_required_record_is_there_before_the_end_is_told(service: Service) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        async for event in router_pb2_grpc.RouterStub(channel).Generate(ask("strict")):
            if event.HasField("decision"):
                request_id = event.decision.request_id
            if event.HasField("finish"):  # no flush
                (found,) = service.records.latest(1)
                assert found.request_id == request_id
                assert found.finish == event.finish
    await settled(service)
    assert len(service.records.latest(9)) == 1


async def test_many_required_ones_share_transactions(service: Service) -> None:
    answers = await asyncio.gather(*(run(service, ask("strict")) for _ in range(20)))
    assert all(events[-1].HasField("finish") for events in answers)
    assert len(service.records.latest(99)) == 20


async def settled(service: Service) -> None:
    """Until everything is written, or given up."""
    await service.pipeline.settle()
    await asyncio.to_thread(service.pipeline.records.flush)


async def test_outage_fails_what_is_required_and_nothing_else(service: Service, given_settings: Settings) -> None:
    await run(service, ask())
    await settled(service)
    folder = given_settings.records.parent
    away = folder.rename(folder.with_name("away"))
    folder.write_text("not a folder")
    events, error = await collect(service, ask("strict"))
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "the policy requires an audit record of this step, and the log can't be written" in str(error.details())
    info, status = error_details_pb2.ErrorInfo(), rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.reason == "AUDIT_UNAVAILABLE"
    assert [event.WhichOneof("event") for event in events if not event.HasField("delta")] == ["decision"]
    assert (await run(service, ask()))[-1].HasField("finish")
    # The log is known to be broken now: a step is refused before the engine works for it.
    events, error = await collect(service, ask("strict"))
    assert events == []
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    back = folder.with_name("back")
    back.symlink_to(away)
    back.replace(folder)  # at once: the writer, which tries again, would make a folder of its own
    await fake_engine.until(lambda: not service.pipeline.records.broken)
    assert (await run(service, ask("strict")))[-1].HasField("finish")
    kinds = [one.kind for one in read_entries(given_settings.records)]
    assert kinds.count("log.gap") == 1
    assert service.pipeline.records.lost >= 2
    assert verify(given_settings.records).problems == []


async def test_a_record_that_cannot_be_made_is_missed(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Run, "observed", lambda _: 1 / 0)
        assert (await run(service, ask()))[-1].HasField("finish")
        await settled(service)
    assert "can't be made" in caplog.text
    assert service.pipeline.records.lost == 1
    await run(service, ask())
    await settled(service)
    gap = next(one.entry for one in read_entries(service.settings.records) if one.kind == "log.gap")
    told = audit_pb2.AuditGap()
    assert gap is not None
    gap.event.detail.Unpack(told)
    assert told.lost == 1


async def test_log_tells_of_the_service(given_settings: Settings) -> None:
    async with Service(given_settings) as service:
        await run(service, ask())
        engine = service.supervisor.pid
        assert engine is not None
        os.kill(engine, signal.SIGKILL)
        await fake_engine.until(lambda: service.supervisor.restarts == 1 and service.supervisor.pid is not None)
        await run(service, ask())
        given_settings.policy.write_text(POLICY.replace("linear", "quadratic"))
        await fake_engine.until(lambda: service.keeper.live.swaps == 1)
        await fake_engine.until(lambda: service.keeper.follower.number == 1)
    logged = list(read_entries(given_settings.records))
    kinds = [one.kind for one in logged]
    assert kinds[:3] == ["engine.started", "service.started", "policy.changed"]
    assert kinds[-1] == "service.stopped"
    assert sorted(kinds[3:-1]) == ["engine.started", "policy.changed", "step", "step"]
    changed, started = audit_pb2.PolicyChanged(), audit_pb2.ServiceStarted()
    told = {one.kind: one.entry.event.detail for one in logged if one.entry is not None}
    told["policy.changed"].Unpack(changed)
    told["service.started"].Unpack(started)
    assert (changed.source, changed.author, changed.reason) == ("file", str(given_settings.policy), "the file changed")
    assert changed.before != changed.revision
    assert started.settings["listen"] == "127.0.0.1:0"
    assert verify(given_settings.records).problems == []


def test_no_secrets_among_the_settings(given_settings: Settings) -> None:
    settings = replace(given_settings, redis="rediss://user:secret@host:6379/0", http_token="sesame")
    told = plain(settings)
    assert told["redis"] == "rediss://host:6379/0"
    assert "sesame" not in f"{told}{settings!r}"
    assert told["engine"].startswith(given_settings.engine[0])


SECRET = "zanzibar"
TOOL = {"name": "find", "description": SECRET, "parameters": {"type": "object", "title": SECRET}}
ASKED: list[dict[str, Any]] = [
    {"prompt": SECRET, "stop": [SECRET]},
    {"messages": [{"role": "system", "content": SECRET}, {"role": "user", "content": SECRET}], "tools": [TOOL]},
    {"prompt": SECRET, "json_schema": {"const": SECRET}},
    {"prompt": SECRET, "json_schema": {"type": SECRET}},
    {"prompt": SECRET, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": SECRET}}},
    {"prompt": json.dumps({"end": "invalid"}), "raw": True, "stop": [SECRET]},
]


async def test_records_hold_no_text_of_requests(service: Service) -> None:
    for asked in ASKED:
        with suppress(grpc.aio.AioRpcError):
            await collect(service, build({"max_tokens": 3, **asked}, "a step"))
    await service.pipeline.settle()
    await asyncio.to_thread(service.pipeline.records.flush)
    found = service.records.latest(20)
    assert len(found) >= 4
    assert SECRET not in "".join(map(str, found))
