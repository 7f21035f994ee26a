"""Calls to PolicyAdmin, with its errors as they were raised."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from types import TracebackType
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

from triroute.proto import policy_admin_pb2, policy_admin_pb2_grpc
from triroute.router.client import failed
from triroute.router.errors import STATUS, StoreUnavailable, TrirouteError

_BY_REASON: dict[str, type[TrirouteError]] = {kind.reason: kind for kind in STATUS}
_SECONDS = 10.0

Answer = TypeVar("Answer")


class AdminClient:
    """`async with AdminClient(address)`. Every method raises TrirouteError as the service did, or CallFailed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = policy_admin_pb2_grpc.PolicyAdminStub(self._channel)

    async def __aenter__(self) -> AdminClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    async def validate(self, text: str, source: str) -> policy_admin_pb2.ValidatePolicyResponse:
        """Whether a policy could become active."""
        request = policy_admin_pb2.ValidatePolicyRequest(text=text, source=source)
        return await self._call(self._stub.Validate(request, timeout=_SECONDS))

    async def apply(self, request: policy_admin_pb2.ApplyPolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Make a policy active."""
        return await self._call(self._stub.Apply(request, timeout=_SECONDS))

    async def rollback(self, request: policy_admin_pb2.RollbackPolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Make an earlier revision active."""
        return await self._call(self._stub.Rollback(request, timeout=_SECONDS))

    async def try_(self, request: policy_admin_pb2.TryPolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Put a candidate on trial."""
        return await self._call(self._stub.Try(request, timeout=_SECONDS))

    async def end_trial(self, request: policy_admin_pb2.EndTrialRequest) -> policy_admin_pb2.PolicyChange:
        """Stop the candidate."""
        return await self._call(self._stub.EndTrial(request, timeout=_SECONDS))

    async def promote(self, request: policy_admin_pb2.PromotePolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Make the candidate active."""
        return await self._call(self._stub.Promote(request, timeout=_SECONDS))

    async def get(self, revision: str = "") -> policy_admin_pb2.PolicyText:
        """A revision's text; the active one's by default."""
        return await self._call(self._stub.Get(policy_admin_pb2.GetPolicyRequest(revision=revision), timeout=_SECONDS))

    async def history(self, limit: int = 0) -> list[policy_admin_pb2.PolicyChange]:
        """Latest first."""
        request = policy_admin_pb2.ListPolicyChangesRequest(limit=limit)
        answer: policy_admin_pb2.ListPolicyChangesResponse = await self._call(
            self._stub.List(request, timeout=_SECONDS)
        )
        return list(answer.changes)

    async def watch(self) -> AsyncGenerator[policy_admin_pb2.PolicyStatus, None]:
        """The state, at once and whenever it has changed. Leaving ends the call."""
        call = self._stub.Watch(policy_admin_pb2.WatchPolicyRequest())
        try:
            async for status in call:
                yield status
        except grpc.aio.AioRpcError as error:
            raise self._raised(error) from error
        finally:
            call.cancel()

    async def _call(self, call: Awaitable[Answer]) -> Answer:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._raised(error) from error

    def _raised(self, error: grpc.aio.AioRpcError) -> Exception:
        """The service's own error; StoreUnavailable where no service answers."""
        message = error.details() or "no message"
        trailers: dict[str, str | bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        packed = trailers.get("grpc-status-details-bin")
        if isinstance(packed, bytes):
            info = error_details_pb2.ErrorInfo()
            for detail in status_pb2.Status.FromString(packed).details:
                if detail.Unpack(info) and info.reason in _BY_REASON:
                    return _BY_REASON[info.reason](message)
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return StoreUnavailable(
                f"no PolicyAdmin answers at {self.address}; is `triroute serve` running, with that --admin?"
            )
        return failed(error)
