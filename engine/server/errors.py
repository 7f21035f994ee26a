"""The engine's one table from failures to gRPC statuses, with google.rpc details."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from triroute.engine.errors import Duplicate, EngineError, InvalidRequest

STATUS: dict[type[EngineError], tuple[grpc.StatusCode, str]] = {
    InvalidRequest: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    Duplicate: (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_REQUEST"),
    EngineError: (grpc.StatusCode.INTERNAL, "ENGINE_FAILED"),
}


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: EngineError) -> NoReturn:
    """End a call with the error's status."""
    code, reason = STATUS[type(error)]
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="triroute")]
    if isinstance(error, InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.description)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=code.value[0], message=str(error), details=[_pack(detail) for detail in details])
    trailer = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, str(error), trailer)
    raise AssertionError("unreachable: abort raises")


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
