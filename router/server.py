"""triroute.v1.Router over one `Pipeline`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from triroute.proto import router_pb2, router_pb2_grpc
from triroute.router.audit.store import RecordStore
from triroute.router.errors import ServiceFailed, TrirouteError, to_status
from triroute.router.pipeline import Pipeline
from triroute.router.telemetry.entry import by_grpc

log = logging.getLogger("triroute.server")


class RouterServicer(router_pb2_grpc.RouterServicer):
    """Calls the pipeline; turns errors into statuses."""

    def __init__(self, pipeline: Pipeline, records: RecordStore) -> None:
        self.pipeline = pipeline
        self.records = records

    async def Generate(
        self, message: router_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[router_pb2.GenerateEvent]:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        try:
            async with aclosing(self.pipeline.generate(message, by_grpc(metadata))) as events:
                async for event in events:
                    yield event
        except Exception as error:
            await abort(context, error)

    async def Decide(
        self, message: router_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.Decision:
        try:
            return await self.pipeline.decide(message)
        except Exception as error:
            await abort(context, error)

    async def Abort(
        self, message: router_pb2.AbortRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.AbortResponse:
        return router_pb2.AbortResponse(found=await self.pipeline.abort(message.request_id))

    async def GetRecord(
        self, message: router_pb2.GetRecordRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.Record:
        try:
            await self.pipeline.settle()
            await asyncio.to_thread(self.pipeline.records.flush)
            return await asyncio.to_thread(self.records.find, message.id)
        except Exception as error:
            await abort(context, error)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End the call with the error's status; a bug ends it as INTERNAL, and is logged."""
    if not isinstance(error, TrirouteError):
        error = ServiceFailed.of(error, log)
    code, text, details = to_status(error)
    await context.abort(code, text, (("grpc-status-details-bin", details),))
    raise AssertionError("unreachable: abort raises")
