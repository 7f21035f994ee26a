"""A service whose audit log is in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest

from triroute.proto import router_pb2, router_pb2_grpc
from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place, to_place
from triroute.router.audit.verify import verify
from triroute.router.service import Service
from triroute.router.settings import Settings

from . import fake_engine
from .postgres_server import PostgresServer
from .test_audit import ask, collect, given_settings, run, settled

__all__ = ["given_settings"]

_LAG = 0.8  # s, of an event loop that is not blocked, on a machine with work


@pytest.fixture
def settings(given_settings: Settings, postgres_place: Place, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("triroute.router.audit.postgres._CONNECT_SECONDS", 2)
    monkeypatch.setattr("triroute.router.audit.postgres._Connection.most_seconds", 1.0)
    return replace(given_settings, records=postgres_place)


async def test_steps_and_what_happens_to_the_service(settings: Settings) -> None:
    async with Service(settings) as service:
        await run(service, ask())
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = router_pb2_grpc.RouterStub(channel)
            async for event in stub.Generate(ask("strict")):
                if event.HasField("finish"):
                    (found,) = await asyncio.to_thread(service.records.latest, 1)
                    assert found.finish == event.finish
            told = await stub.GetRecord(router_pb2.GetRecordRequest(id=found.request_id))
            assert told.request_id == found.request_id
    kinds = [one.kind for one in read_entries(settings.records)]
    assert sorted(kinds) == [
        *["engine.started", "policy.changed", "service.started", "service.stopped"],
        "step",
        "step",
    ]
    assert verify(settings.records).problems == []


async def test_server_that_hangs_fails_only_what_is_required(
    settings: Settings, postgres_server: PostgresServer
) -> None:
    """Nothing blocks the event loop, what follows is refused at once, and the end of the service does not wait."""
    lag = 0.0

    async def watch() -> None:
        nonlocal lag
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            lag = max(lag, time.monotonic() - before)

    async with Service(settings) as service:
        assert (await run(service, ask("strict")))[-1].HasField("finish")
        watching = asyncio.create_task(watch())
        postgres_server.freeze()
        began = time.monotonic()
        assert (await run(service, ask()))[-1].HasField("finish")
        assert time.monotonic() - began < 1
        _, error = await collect(service, ask("strict"))
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "the policy requires an audit record of this step" in str(error.details())
        began = time.monotonic()
        events, error = await collect(service, ask("strict"))
        assert events == []
        assert error is not None
        async with grpc.aio.insecure_channel(service.address) as channel:
            with suppress(grpc.aio.AioRpcError):
                await router_pb2_grpc.RouterStub(channel).GetRecord(router_pb2.GetRecordRequest(id="a" * 32))
        assert time.monotonic() - began < 8
        postgres_server.thaw()
        await fake_engine.until(lambda: not service.pipeline.records.broken)
        assert (await run(service, ask("strict")))[-1].HasField("finish")
        await settled(service)
        postgres_server.freeze()
        began = time.monotonic()
    ended = time.monotonic() - began
    postgres_server.thaw()
    watching.cancel()
    assert ended < 6
    assert lag < _LAG
    assert [one.kind for one in read_entries(settings.records)].count("log.gap") == 1
    assert verify(settings.records).problems == []


async def test_start_without_the_server(given_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    records = to_place("postgresql://me:hidden@127.0.0.1:1/none")
    async with Service(replace(given_settings, records=records)) as service:
        assert (await run(service, ask()))[-1].HasField("finish")
        await settled(service)
        assert service.pipeline.records.lost > 0
    assert "records can't be written to postgresql://me@127.0.0.1:1/none: " in caplog.text
    assert "hidden" not in caplog.text
