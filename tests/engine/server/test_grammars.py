"""Requests whose grammars take long hold up nobody, and those whose clients have left take nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from triroute.engine.engine import Engine
from triroute.engine.server.servicer import _COMPILERS, EngineServicer
from triroute.engine.trials import _SECONDS, Trials
from triroute.proto import chat_pb2, decoding_pb2, engine_pb2, engine_pb2_grpc

MANY = 2 * _COMPILERS + 8
KEPT, NEW = '{"enum": ["kept"]}', '{"enum": ["new"]}'


def heavy(number: int) -> str:
    return json.dumps({"type": "string", "allOf": [{"pattern": f"a.*b{number}c{part}"} for part in range(40)]})


@pytest.fixture
async def stub(tiny_engine: Engine, tmp_path: Path) -> AsyncIterator[engine_pb2_grpc.EngineAsyncStub]:
    server = grpc.aio.server()
    engine_pb2_grpc.add_EngineServicer_to_server(EngineServicer(tiny_engine), server)
    server.add_insecure_port(f"unix:{tmp_path}/engine")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/engine") as channel:
        yield engine_pb2_grpc.EngineStub(channel)
    await server.stop(0)


async def finish(stub: engine_pb2_grpc.EngineAsyncStub, name: str, schema: str = "") -> str:
    """Run a request to its end; why it was refused."""
    plan = decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_AUTOREGRESSIVE)
    request = engine_pb2.GenerateRequest(request_id=name, text="a", plan=plan)
    request.sampling.max_tokens = 2
    if schema:
        request.response_format.CopyFrom(chat_pb2.ResponseFormat(json_schema=schema))
    try:
        async for _ in stub.Generate(request):
            pass
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


async def test_slow_grammars_hold_up_nobody(
    stub: engine_pb2_grpc.EngineAsyncStub, tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await finish(stub, "before", KEPT)
    begun, busy, loop, ask = list[float](), asyncio.Event(), asyncio.get_running_loop(), Trials._ask

    def counted(trials: Trials, question: bytes) -> bytes:
        begun.append(json.loads(question)["seconds"])
        loop.call_soon_threadsafe(busy.set)
        return ask(trials, question)

    monkeypatch.setattr(Trials, "_ask", counted)
    slow = [asyncio.create_task(finish(stub, f"slow {number}", heavy(number))) for number in range(MANY)]
    await busy.wait()
    for name, schema in (("plain", ""), ("kept", KEPT), ("new", NEW)):
        assert not await finish(stub, name, schema)
        assert sum(not one.done() for one in slow) > _COMPILERS  # more than threads of one pool could wait for
    for one in slow:
        one.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert "more than 1 s" in await finish(stub, "after", heavy(MANY))
    assert 0 < sum(seconds == _SECONDS for seconds in begun) < _COMPILERS  # whose client had left was not tried
