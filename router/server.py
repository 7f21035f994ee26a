"""triroute.v1.Router over one `Pipeline`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc

from triroute.proto import router_pb2, router_pb2_grpc
from triroute.router.errors import TrirouteError, to_status
from triroute.router.pipeline import Pipeline
from triroute.router.records import RecordStore

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
        stream = self.pipeline.generate(message, metadata)
        try:
            async for event in stream:
                yield event
        except Exception as error:
            await _abort(context, error)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    async def Decide(
        self, message: router_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.Decision:
        try:
            return self.pipeline.decide(message)
        except Exception as error:
            await _abort(context, error)

    async def Abort(
        self, message: router_pb2.AbortRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.AbortResponse:
        return router_pb2.AbortResponse(found=await self.pipeline.abort(message.request_id))

    async def GetRecord(
        self, message: router_pb2.GetRecordRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> router_pb2.Record:
        try:
            await self.pipeline.settle()
            self.pipeline.records.flush()
            return self.records.find(message.id)
        except Exception as error:
            await _abort(context, error)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End the call with the error's status; a bug ends it as INTERNAL, and is logged."""
    if isinstance(error, TrirouteError):
        code, text, details = to_status(error)
        await context.abort(code, text, (("grpc-status-details-bin", details),))
    log.error("a request failed by a bug of ours", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "the service failed on this request; its log says why")
    raise AssertionError("unreachable: abort raises")
