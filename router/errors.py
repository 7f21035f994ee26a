"""Every failure that a caller can meet, and the one table from it to gRPC and HTTP.

TrirouteError
├── InvalidRequest        the caller's input, field by field
├── HintRefused           a hint outside the policy's limits or permissions
├── InvalidPolicy         a policy file, with file:line:column
├── NotFound              no such record, request or revision
├── Damaged               a record or an entry that is there, and can't be read as it was written
├── RevisionMoved         another change of the policy came first
├── CanaryRuns            another candidate decides for some steps
├── StoreUnavailable      the store of policies does not answer; nothing is changed, and serving goes on
├── Overloaded            try again later
├── RateLimited           the tenant has used up what the policy gives it
├── AuditUnavailable      a step's record is required, and can't be written
├── EngineUnavailable     the engine is gone and could not be brought back
├── EngineFailed          the engine failed on this request
├── ServiceFailed         a bug of ours; the log has it under the id in the message
└── StartFailed           the service can't start: port, checkpoint, settings
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "triroute"


@dataclass(frozen=True, slots=True)
class Violation:
    """One invalid field: its path in the request, and what to do about it."""

    field: str
    description: str


class TrirouteError(Exception):
    """An expected failure. `reason` is stable and machine-readable; the message says what to do."""

    reason = "INTERNAL"

    def __init__(self, message: str, *, violations: tuple[Violation, ...] = (), retry_ms: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations
        self.retry_ms = retry_ms

    @property
    def unquoted(self) -> str:
        """The message, without what could quote the request: a description of a field quotes after its first colon."""
        told = (f"{wrong.field}: {wrong.description.partition(':')[0]}" for wrong in self.violations)
        return "; ".join(told) or self.message


class InvalidRequest(TrirouteError):
    """The caller's input is wrong."""

    reason = "INVALID_REQUEST"

    @classmethod
    def of(cls, *violations: Violation) -> InvalidRequest:
        """One error for all invalid fields."""
        return cls("; ".join(f"{v.field}: {v.description}" for v in violations), violations=violations)

    def concerns(self, field: str) -> bool:
        """Whether this field is among what is wrong."""
        return any(violation.field == field for violation in self.violations)


class HintRefused(InvalidRequest):
    """A hint that the policy does not allow, or that lies outside its limits."""

    reason = "HINT_REFUSED"


class InvalidPolicy(TrirouteError):
    """A policy that can't become active. The message starts with file:line:column."""

    reason = "INVALID_POLICY"


class RevisionMoved(TrirouteError):
    """The expected revision is not the active one."""

    reason = "REVISION_MOVED"


class CanaryRuns(TrirouteError):
    """Another candidate decides for some steps; it must be promoted or ended first."""

    reason = "CANARY_RUNS"


class StoreUnavailable(TrirouteError):
    """The store of policies does not answer."""

    reason = "STORE_UNAVAILABLE"


class NotFound(TrirouteError):
    """No such record, running request or policy revision."""

    reason = "NOT_FOUND"


class Damaged(TrirouteError):
    """An entry of the log that is there, and is not as it was written."""

    reason = "DAMAGED"


class Overloaded(TrirouteError):
    """Too much is waiting."""

    reason = "OVERLOADED"


class RateLimited(TrirouteError):
    """The tenant has used up what the policy gives it; `retry_ms` says when there is more."""

    reason = "RATE_LIMITED"


class AuditUnavailable(TrirouteError):
    """A record that the policy requires can't be written."""

    reason = "AUDIT_UNAVAILABLE"


class EngineUnavailable(TrirouteError):
    """The engine is gone."""

    reason = "ENGINE_UNAVAILABLE"


class EngineFailed(TrirouteError):
    """The engine failed on this request."""

    reason = "ENGINE_FAILED"


class ServiceFailed(TrirouteError):
    """A bug of ours. The message names the request; the log says the rest."""

    @classmethod
    def on(cls, request_id: str) -> ServiceFailed:
        """The error for a request, by its id in the log."""
        return cls(f"the service failed on request {request_id}; its log says why")

    @classmethod
    def of(cls, error: Exception, log: logging.Logger) -> ServiceFailed:
        """The error for a call without such an id: it gets one, under which it is logged."""
        call_id = uuid.uuid4().hex
        log.error("call %s failed by a bug of ours", call_id, exc_info=error)
        return cls.on(call_id)


class StartFailed(TrirouteError):
    """The service can't start."""

    reason = "START_FAILED"


# error -> (gRPC status, HTTP status).
STATUS: dict[type[TrirouteError], tuple[grpc.StatusCode, int]] = {
    InvalidRequest: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    HintRefused: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    InvalidPolicy: (grpc.StatusCode.FAILED_PRECONDITION, 400),
    NotFound: (grpc.StatusCode.NOT_FOUND, 404),
    Damaged: (grpc.StatusCode.DATA_LOSS, 500),
    RevisionMoved: (grpc.StatusCode.ABORTED, 409),
    CanaryRuns: (grpc.StatusCode.FAILED_PRECONDITION, 409),
    StoreUnavailable: (grpc.StatusCode.UNAVAILABLE, 503),
    Overloaded: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    RateLimited: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    AuditUnavailable: (grpc.StatusCode.UNAVAILABLE, 503),
    EngineUnavailable: (grpc.StatusCode.UNAVAILABLE, 503),
    EngineFailed: (grpc.StatusCode.INTERNAL, 500),
    ServiceFailed: (grpc.StatusCode.INTERNAL, 500),
    StartFailed: (grpc.StatusCode.UNAVAILABLE, 503),
}


# Clients take at most 8 KiB of trailers: the message (3 bytes each where not ASCII), and the details in base64.
_LONGEST_MESSAGE, _LONGEST_FIELD, _LONGEST_DESCRIPTION, _MOST_VIOLATION_BYTES = 1_000, 100, 300, 2_000


def to_status(error: TrirouteError) -> tuple[grpc.StatusCode, str, bytes]:
    """gRPC code, message and serialized google.rpc.Status (for `grpc-status-details-bin`), cut to fit in trailers."""
    code, _ = STATUS[type(error)]
    message = _cut(error.message, _LONGEST_MESSAGE)
    details = [_pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))]
    if error.violations:
        details.append(_pack(_bad_request(error.violations)))
    if error.retry_ms:
        delay = duration_pb2.Duration(nanos=error.retry_ms % 1000 * 1_000_000, seconds=error.retry_ms // 1000)
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    status = status_pb2.Status(code=code.value[0], message=message, details=details)
    return code, message, status.SerializeToString()


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """The first violations, as many as fit."""
    bad = error_details_pb2.BadRequest()
    for violation in violations:
        field, description = _cut(violation.field, _LONGEST_FIELD), _cut(violation.description, _LONGEST_DESCRIPTION)
        bad.field_violations.add(field=field, description=description)
        if bad.ByteSize() > _MOST_VIOLATION_BYTES:
            del bad.field_violations[-1]
            break
    return bad


def _cut(text: str, most: int) -> str:
    """At most `most` bytes of UTF-8. Lone surrogates, which JSON can hold and UTF-8 can't, become question marks."""
    whole = text.encode(errors="replace")
    return whole.decode() if len(whole) <= most else whole[: most - 3].decode(errors="ignore") + "…"


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
