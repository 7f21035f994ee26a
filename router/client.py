"""The client library: `async with Client(address) as client`, then one call a step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

import grpc

from triroute.proto import router_pb2, router_pb2_grpc

_MESSAGE_BYTES = 64 * 2**20


class CallFailed(Exception):
    """A call that ended with a status other than OK: its name, and the service's message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client:
    """One channel to one service. Every method raises CallFailed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(
            address, options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)]
        )
        self._stub = router_pb2_grpc.RouterStub(self._channel)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    async def generate(self, request: router_pb2.GenerateRequest) -> AsyncIterator[router_pb2.GenerateEvent]:
        """One step's events. Leaving early ends it."""
        call = self._stub.Generate(request)
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as error:
            raise failed(error) from error
        finally:
            call.cancel()

    async def decide(self, request: router_pb2.GenerateRequest) -> router_pb2.Decision:
        """How a request would be decoded."""
        try:
            decision: router_pb2.Decision = await self._stub.Decide(request)
        except grpc.aio.AioRpcError as error:
            raise failed(error) from error
        return decision

    async def record(self, wanted: str) -> router_pb2.Record:
        """A finished step's record, by request or trace id."""
        try:
            record: router_pb2.Record = await self._stub.GetRecord(router_pb2.GetRecordRequest(id=wanted))
        except grpc.aio.AioRpcError as error:
            raise failed(error) from error
        return record

    async def abort(self, request_id: str) -> bool:
        """End a running step. False where it is not running."""
        try:
            answer = await self._stub.Abort(router_pb2.AbortRequest(request_id=request_id))
        except grpc.aio.AioRpcError as error:
            raise failed(error) from error
        return bool(answer.found)


def failed(error: grpc.aio.AioRpcError) -> CallFailed:
    """What a call that ended so is raised as."""
    return CallFailed(error.code().name, error.details() or "no message")
