"""triroute.v1.PolicyAdmin over one `PolicyKeeper`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar

import grpc

from triroute.proto import policy_admin_pb2, policy_admin_pb2_grpc
from triroute.router.admin.asked import active, check, expected
from triroute.router.admin.convert import from_change, status_of
from triroute.router.admin.trials import Trials, resumed
from triroute.router.errors import InvalidPolicy, InvalidRequest, NotFound, Violation
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.load import parse_safely
from triroute.router.policy.source import candidate_of
from triroute.router.policy.store import Kind, Move
from triroute.router.server import abort

_LISTED = 20
_MOST_LISTED = 1_000
_LOOK_SECONDS = 0.25

Context = grpc.aio.ServicerContext[Any, Any]
Answer = TypeVar("Answer")
Asked = policy_admin_pb2.ApplyPolicyRequest | policy_admin_pb2.RollbackPolicyRequest


class PolicyAdminServicer(policy_admin_pb2_grpc.PolicyAdminServicer):
    """Checks what is asked, moves the store, and lets this router follow at once."""

    def __init__(self, keeper: PolicyKeeper) -> None:
        self.keeper = keeper
        self.store = keeper.store
        self.trials = Trials(keeper)

    async def Validate(
        self, message: policy_admin_pb2.ValidatePolicyRequest, context: Context
    ) -> policy_admin_pb2.ValidatePolicyResponse:
        try:
            policy = await asyncio.to_thread(parse_safely, message.text, message.source or "policy")
        except InvalidPolicy as error:
            return policy_admin_pb2.ValidatePolicyResponse(problems=error.message.split("\n"))
        return policy_admin_pb2.ValidatePolicyResponse(valid=True, revision=policy.revision, name=policy.name)

    async def Apply(
        self, message: policy_admin_pb2.ApplyPolicyRequest, context: Context
    ) -> policy_admin_pb2.PolicyChange:
        return await _answer(self._apply(message), context)

    async def Get(self, message: policy_admin_pb2.GetPolicyRequest, context: Context) -> policy_admin_pb2.PolicyText:
        return await _answer(self._get(message.revision), context)

    async def List(
        self, message: policy_admin_pb2.ListPolicyChangesRequest, context: Context
    ) -> policy_admin_pb2.ListPolicyChangesResponse:
        return await _answer(self._list(message.limit), context)

    async def Rollback(
        self, message: policy_admin_pb2.RollbackPolicyRequest, context: Context
    ) -> policy_admin_pb2.PolicyChange:
        return await _answer(self._rollback(message), context)

    async def Try(self, message: policy_admin_pb2.TryPolicyRequest, context: Context) -> policy_admin_pb2.PolicyChange:
        return await _answer(self.trials.start(message), context)

    async def EndTrial(
        self, message: policy_admin_pb2.EndTrialRequest, context: Context
    ) -> policy_admin_pb2.PolicyChange:
        return await _answer(self.trials.end(message), context)

    async def Promote(
        self, message: policy_admin_pb2.PromotePolicyRequest, context: Context
    ) -> policy_admin_pb2.PolicyChange:
        return await _answer(self.trials.promote(message), context)

    async def Watch(
        self, message: policy_admin_pb2.WatchPolicyRequest, context: Context
    ) -> AsyncIterator[policy_admin_pb2.PolicyStatus]:
        try:
            told = None
            while True:
                status = await status_of(self.keeper)
                seen = _without_times(status)
                if seen != told:
                    yield status
                told = seen
                await asyncio.sleep(_LOOK_SECONDS)
        except Exception as error:
            await abort(context, error)

    async def _apply(self, message: policy_admin_pb2.ApplyPolicyRequest) -> policy_admin_pb2.PolicyChange:
        check(message)
        source = message.source or "policy"
        policy = await asyncio.to_thread(parse_safely, message.text, source)
        rollout, candidate = policy.file.rollout, None
        if rollout is not None:
            if not message.candidate_text:
                field = Violation("candidate_text", f"is missing; the policy's rollout names {rollout.candidate}")
                raise InvalidRequest.of(field)
            file = str(Path(source).parent / rollout.candidate)
            revision = (await asyncio.to_thread(parse_safely, message.candidate_text, file)).revision
            candidate = resumed(candidate_of(rollout, revision, policy, file), policy.revision, self.keeper.live)
        move = Move(
            Kind.APPLY,
            policy.revision,
            message.text,
            message.author,
            message.reason,
            candidate=candidate,
            candidate_text=message.candidate_text,
        )
        return await self._move(message, move)

    async def _rollback(self, message: policy_admin_pb2.RollbackPolicyRequest) -> policy_admin_pb2.PolicyChange:
        check(message)
        if message.revision:
            revision = await self.store.find(message.revision)
        else:
            latest = await self.store.latest()
            revision = latest.previous if latest else ""
            if not revision:
                raise NotFound("there is no revision before the active one; `triroute policy history` lists them")
        text = await self.store.text(revision)
        await asyncio.to_thread(parse_safely, text, f"revision {revision[:12]}")
        return await self._move(message, Move(Kind.ROLLBACK, revision, text, message.author, message.reason))

    async def _move(self, message: Asked, move: Move) -> policy_admin_pb2.PolicyChange:
        change = await self.store.move(dataclasses.replace(move, expected=await expected(message, self.store)))
        await self.keeper.follower.catch_up()
        return from_change(change)

    async def _get(self, prefix: str) -> policy_admin_pb2.PolicyText:
        revision = await self.store.find(prefix) if prefix else await active(self.store)
        return policy_admin_pb2.PolicyText(revision=revision, text=await self.store.text(revision))

    async def _list(self, limit: int) -> policy_admin_pb2.ListPolicyChangesResponse:
        changes = await self.store.history(min(limit or _LISTED, _MOST_LISTED))
        return policy_admin_pb2.ListPolicyChangesResponse(changes=map(from_change, changes))


async def _answer(work: Awaitable[Answer], context: Context) -> Answer:
    try:
        return await work
    except Exception as error:
        await abort(context, error)


def _without_times(status: policy_admin_pb2.PolicyStatus) -> bytes:
    """What must differ for a status to be news."""
    copy = policy_admin_pb2.PolicyStatus()
    copy.CopyFrom(status)
    for replica in copy.replicas:
        replica.at_us = 0
    return copy.SerializeToString(deterministic=True)
