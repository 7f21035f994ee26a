"""The router's side of the engine's socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from triroute.proto import engine_pb2, engine_pb2_grpc
from triroute.router.errors import EngineFailed, InvalidRequest, Violation
from triroute.router.types import Load

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 2**20),
    ("grpc.max_send_message_length", 64 * 2**20),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_WATCH_AGAIN_SECONDS = 0.1
_VOCABULARY_SECONDS = 10


class EngineLost(Exception):
    """The engine went away under a call. What it had committed is kept by the caller."""


class EngineClient:
    """One channel to one engine. `load` is the last that the engine told."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=_OPTIONS)
        self._stub = engine_pb2_grpc.EngineStub(self._channel)
        self.load = Load()

    async def generate(
        self, message: engine_pb2.GenerateRequest, carried: tuple[tuple[str, str], ...] = ()
    ) -> AsyncGenerator[engine_pb2.GenerateEvent, None]:
        """The engine's events; `carried` are the headers of the trace. Leaving early cancels the work.

        Raises EngineLost when the engine goes away before it has finished, InvalidRequest for what only the engine
        could judge, EngineFailed for the rest.
        """
        call = self._stub.Generate(message, metadata=carried)
        try:
            async for event in call:
                yield event
                if event.HasField("finish"):
                    return
            raise EngineLost("the engine ended the stream without a finish")
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from error
        finally:
            call.cancel()

    async def abort(self, request_id: str) -> bool:
        """End a request. False where it is not running."""
        try:
            answer = await self._stub.Abort(engine_pb2.AbortRequest(request_id=request_id))
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.found)

    async def describe(self, seconds: float) -> engine_pb2.Description:
        """What the engine runs. Raises EngineLost when it does not answer in time."""
        try:
            description: engine_pb2.Description = await self._stub.Describe(
                engine_pb2.DescribeRequest(), timeout=seconds, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            raise EngineLost(error.details()) from error
        return description

    async def token_text(self, token_ids: list[int]) -> dict[int, str]:
        """Each token's text; empty when the engine does not answer, since it is only for people."""
        try:
            answer = await self._stub.TokenText(engine_pb2.TokenTextRequest(token_ids=token_ids), timeout=2)
        except grpc.aio.AioRpcError:
            return {}
        return dict(zip(token_ids, answer.text, strict=True))

    async def vocabulary(self) -> bytes:
        """The text of all tokens, a TokenTextResponse; empty when the engine does not answer."""
        try:
            answer = await self._stub.TokenText(engine_pb2.TokenTextRequest(), timeout=_VOCABULARY_SECONDS)
        except grpc.aio.AioRpcError:
            return b""
        return bytes(answer.SerializeToString(deterministic=True))

    async def watch_load(self) -> None:
        """Keep `load` current, for ever."""
        while True:
            try:
                async for told in self._stub.WatchLoad(engine_pb2.WatchLoadRequest(), wait_for_ready=True):
                    self.load = Load(told.running, told.waiting, told.cache_tokens_used / max(told.cache_tokens, 1))
            except grpc.aio.AioRpcError:
                self.load = Load()
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)


def _translated(error: grpc.aio.AioRpcError) -> Exception:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return EngineLost(details)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        violations = tuple(_violations(error))
        return InvalidRequest(details, violations=violations)
    if code is grpc.StatusCode.CANCELLED:
        return EngineLost("the engine cancelled the call")
    return EngineFailed(f"the engine failed: {details}")


def _violations(error: grpc.aio.AioRpcError) -> list[Violation]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads
    found = []
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += [Violation(v.field, v.description) for v in bad.field_violations]
    return found
