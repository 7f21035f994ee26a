"""The engine's statuses and load, through a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from triroute.proto import chat_pb2, engine_pb2, engine_pb2_grpc
from triroute.router.engine_client import EngineClient, EngineLost
from triroute.router.errors import EngineFailed, InvalidRequest
from triroute.router.types import Load

from .fake_engine import FakeEngine, output, text, until


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EngineClient]:
    server = grpc.aio.server()
    engine_pb2_grpc.add_EngineServicer_to_server(FakeEngine(), server)
    server.add_insecure_port(f"unix:{tmp_path / 'e.sock'}")
    await server.start()
    one = EngineClient(tmp_path / "e.sock")
    yield one
    await one.close()
    await server.stop(0)


def ask(tokens: int = 6, **script: object) -> engine_pb2.GenerateRequest:
    sampling = chat_pb2.Sampling(max_tokens=tokens)
    return engine_pb2.GenerateRequest(request_id="r", text=json.dumps(script), sampling=sampling)


async def drain(client: EngineClient, request: engine_pb2.GenerateRequest) -> list[engine_pb2.GenerateEvent]:
    return [event async for event in client.generate(request)]


async def test_stream_and_resume(client: EngineClient) -> None:
    first, *_, last = await drain(client, ask())
    assert (first.WhichOneof("event"), last.WhichOneof("event")) == ("started", "finish")
    resumed = ask()
    resumed.resume_ids.extend(output(0, 4))
    resumed.resume_characters = 2
    events = await drain(client, resumed)
    said = "".join(event.commit.text for event in events) + events[-1].finish.text
    assert said == text(output(0, 6))[2:]


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        ({"drop_at": [0]}, EngineLost, "hung up"),
        ({"end": "silent"}, EngineLost, "without a finish"),
        ({"end": "failed"}, EngineFailed, "the engine failed: a tensor went missing"),
        ({"end": "invalid"}, InvalidRequest, "shorten the prompt"),
    ],
)
async def test_statuses(client: EngineClient, script: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        await drain(client, ask(**script))


async def test_violations_come_through(client: EngineClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await drain(client, ask(end="invalid"))
    assert [violation.field for violation in caught.value.violations] == ["sampling.max_tokens"]


async def test_load_is_kept_and_forgotten(client: EngineClient) -> None:
    watching = asyncio.create_task(client.watch_load())
    running = asyncio.create_task(drain(client, ask(tokens=10_000, delay=0.01)))
    await until(lambda: client.load == Load(running=1, waiting=0, cache_used=0.1))
    running.cancel()
    await until(lambda: client.load == Load())
    watching.cancel()
    await asyncio.gather(running, watching, return_exceptions=True)


async def test_no_engine(tmp_path: Path) -> None:
    one = EngineClient(tmp_path / "none.sock")
    with pytest.raises(EngineLost):
        await drain(one, ask())
    with pytest.raises(EngineLost):
        await one.describe(0.1)
    assert not await one.abort("r")
    assert await one.token_text([1]) == {}
    await one.close()


async def test_token_text(client: EngineClient) -> None:
    assert await client.token_text([0, 6]) == {0: "sea ", 6: "🌊"}
    assert (await client.describe(5)).context_length == 1024
