"""Try, EndTrial and Promote: what PolicyAdmin does with a candidate."""

from __future__ import annotations

import asyncio
import dataclasses

from triroute.proto import policy_admin_pb2
from triroute.router.admin.asked import Ending, check, expected
from triroute.router.admin.convert import KEYS, from_change
from triroute.router.errors import CanaryRuns, InvalidRequest, NotFound, Violation
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.load import parse_safely
from triroute.router.policy.store import Change, Kind, Move
from triroute.router.policy.store.base import moved
from triroute.router.policy.trial import Candidate
from triroute.router.policy.trial.candidate import violations

_DEFAULTS = Candidate("")


class Trials:
    """Moves the store, each time after the change that was looked at, and lets this router follow."""

    def __init__(self, keeper: PolicyKeeper) -> None:
        self.keeper = keeper
        self.store = keeper.store

    async def start(self, message: policy_admin_pb2.TryPolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Put a candidate on trial, or give a running one another percentage."""
        asked = _candidate(message)
        policy = await asyncio.to_thread(parse_safely, message.text, message.source or "candidate")
        wanted = await expected(message, self.store)
        latest = await self._latest()
        if policy.revision == latest.revision:
            raise InvalidRequest.of(Violation("text", "means the same as the active policy; there is nothing to try"))
        running = latest.candidate
        if running is not None and running.decides and running.revision != policy.revision:
            raise CanaryRuns(
                f"canary {running.revision[:12]} decides {running.percent:g} % of the steps; "
                "promote or abort it first (`triroute policy canary promote`, `... abort`)"
            )
        candidate = resumed(dataclasses.replace(asked, revision=policy.revision), latest.revision, self.keeper.live)
        kind = Kind.CANARY if candidate.percent else Kind.SHADOW
        move = Move(kind, latest.revision, "", message.author, message.reason, wanted or latest.revision)
        return await self._move(dataclasses.replace(move, candidate=candidate, candidate_text=message.text), latest)

    async def end(self, message: policy_admin_pb2.EndTrialRequest) -> policy_admin_pb2.PolicyChange:
        """Stop a canary, for good; or drop a shadow."""
        check(message)
        latest, candidate = await self._on_trial(message)
        kept = dataclasses.replace(candidate, stopped=True) if candidate.percent else None
        kind = Kind.ABORT if candidate.percent else Kind.SHADOW
        move = Move(kind, latest.revision, "", message.author, message.reason, latest.revision, candidate=kept)
        return await self._move(move, latest)

    async def promote(self, message: policy_admin_pb2.PromotePolicyRequest) -> policy_admin_pb2.PolicyChange:
        """Make the candidate active."""
        check(message)
        latest, candidate = await self._on_trial(message)
        text = await self.store.text(candidate.revision)
        await asyncio.to_thread(parse_safely, text, f"candidate {candidate.revision[:12]}")
        who, why = message.author, message.reason
        return await self._move(Move(Kind.PROMOTE, candidate.revision, text, who, why, latest.revision), latest)

    async def _latest(self) -> Change:
        await self.keeper.follower.catch_up()  # an empty store has the active policy then
        latest = await self.store.latest()
        if latest is None:
            raise NotFound("no policy is active yet; apply one")
        return latest

    async def _on_trial(self, message: Ending) -> tuple[Change, Candidate]:
        """The latest change, and the candidate that runs by it. Raises NotFound, RevisionMoved."""
        latest = await self._latest()
        candidate = latest.candidate
        if candidate is None or candidate.stopped:
            raise NotFound(
                "no policy is on trial; `triroute policy canary start` or `triroute policy shadow` tries one"
            )
        if message.HasField("expected_candidate") and not candidate.revision.startswith(message.expected_candidate):
            raise moved(candidate.revision, message.expected_candidate)
        return latest, candidate

    async def _move(self, move: Move, latest: Change) -> policy_admin_pb2.PolicyChange:
        change = await self.store.move(dataclasses.replace(move, after=latest.number))
        await self.keeper.follower.catch_up()
        return from_change(change)


def resumed(candidate: Candidate, active: str, live: ActivePolicy) -> Candidate:
    """The same trial as the one that runs, where it is one: what was measured goes on."""
    trial = live.trial
    if trial is None or live.policy.revision != active or trial.stopped:
        return candidate
    running = trial.candidate
    return dataclasses.replace(candidate, trial=running.trial) if candidate.goes_on(running) else candidate


def _candidate(message: policy_admin_pb2.TryPolicyRequest) -> Candidate:
    """What is asked for, without its revision. Raises InvalidRequest."""
    error_ratio = message.error_ratio if message.HasField("error_ratio") else _DEFAULTS.error_ratio
    latency_ratio = message.latency_ratio if message.HasField("latency_ratio") else _DEFAULTS.latency_ratio
    wrong = list(violations(message.percent, error_ratio, latency_ratio))
    if message.key not in KEYS:
        wrong.append(Violation("key", f"{message.key} is unknown; use session_id, tenant or request_id"))
    check(message, *wrong)
    return Candidate("", message.percent, KEYS[message.key], error_ratio, latency_ratio)
