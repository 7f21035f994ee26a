"""The keeper's state as messages."""

from __future__ import annotations

from triroute.proto import policy_admin_pb2
from triroute.router.errors import StoreUnavailable
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.store import Acknowledgement, Change, Kind
from triroute.router.policy.trial import Candidate, Key
from triroute.router.policy.trial.tally import MOST_PAIRS, Arm, ShadowCount

_KINDS = {
    Kind.SEED: policy_admin_pb2.CHANGE_KIND_SEED,
    Kind.FILE: policy_admin_pb2.CHANGE_KIND_FILE,
    Kind.APPLY: policy_admin_pb2.CHANGE_KIND_APPLY,
    Kind.ROLLBACK: policy_admin_pb2.CHANGE_KIND_ROLLBACK,
    Kind.SHADOW: policy_admin_pb2.CHANGE_KIND_SHADOW,
    Kind.CANARY: policy_admin_pb2.CHANGE_KIND_CANARY,
    Kind.ABORT: policy_admin_pb2.CHANGE_KIND_ABORT,
    Kind.PROMOTE: policy_admin_pb2.CHANGE_KIND_PROMOTE,
}
KEYS = {
    policy_admin_pb2.CANARY_KEY_UNSPECIFIED: Key.SESSION_ID,
    policy_admin_pb2.CANARY_KEY_SESSION_ID: Key.SESSION_ID,
    policy_admin_pb2.CANARY_KEY_TENANT: Key.TENANT,
    policy_admin_pb2.CANARY_KEY_REQUEST_ID: Key.REQUEST_ID,
}
_NUMBERS = {key: number for number, key in KEYS.items()}


def from_change(change: Change) -> policy_admin_pb2.PolicyChange:
    """A change of the store."""
    return policy_admin_pb2.PolicyChange(
        number=change.number,
        revision=change.revision,
        previous=change.previous,
        kind=_KINDS[change.kind],
        author=change.author,
        reason=change.reason,
        at_us=change.at_us,
        candidate=from_candidate(change.candidate) if change.candidate else None,
    )


def from_candidate(candidate: Candidate) -> policy_admin_pb2.PolicyCandidate:
    """What is on trial."""
    return policy_admin_pb2.PolicyCandidate(
        revision=candidate.revision,
        percent=candidate.percent,
        key=_NUMBERS[candidate.key],
        error_ratio=candidate.error_ratio,
        latency_ratio=candidate.latency_ratio,
        stopped=candidate.stopped,
    )


def from_acknowledgement(said: Acknowledgement) -> policy_admin_pb2.ReplicaStatus:
    """What a router said."""
    return policy_admin_pb2.ReplicaStatus(
        replica=said.replica,
        number=said.number,
        revision=said.revision,
        accepted=said.accepted,
        error=said.error,
        serving=said.serving,
        at_us=said.at_us,
    )


async def status_of(keeper: PolicyKeeper) -> policy_admin_pb2.PolicyStatus:
    """Everything; what the store can't say now is left out."""
    live = keeper.live
    status = policy_admin_pb2.PolicyStatus(
        replica=keeper.follower.replica,
        serving=live.policy.revision,
        name=live.policy.name,
        refused=live.refused,
        last_refusal=live.refusal,
        swaps=live.swaps,
        trial=_trial(live),
    )
    try:
        latest = await keeper.store.latest()
        if latest is not None:
            status.active.CopyFrom(from_change(latest))
        status.replicas.extend(map(from_acknowledgement, await keeper.store.acknowledgements()))
    except StoreUnavailable as error:
        status.store_error = error.message
    status.store = keeper.store.health().where
    return status


def _trial(live: ActivePolicy) -> policy_admin_pb2.PolicyTrial | None:
    """Absent where nothing is on trial, nor was stopped."""
    if live.candidate is None:
        return None
    told = policy_admin_pb2.PolicyTrial(candidate=from_candidate(live.candidate))
    if live.trial is None:
        return told
    whole = live.trial.judge.whole
    told.name = live.trial.policy.name
    if live.candidate.percent:
        told.stable.CopyFrom(_arm(whole.stable))
        told.canary.CopyFrom(_arm(whole.canary))
    told.pairs.extend(_pairs(whole.shadow))
    told.shadow_failed, told.shadow_slow = whole.shadow.failed, whole.shadow.slow
    told.shadow_skipped = whole.shadow.skipped
    return told


def _arm(arm: Arm) -> policy_admin_pb2.ArmStatus:
    return policy_admin_pb2.ArmStatus(
        steps=arm.steps, failed=arm.failed, p50_ms_a_token=arm.quantile(0.5), p95_ms_a_token=arm.quantile(0.95)
    )


def _pairs(count: ShadowCount) -> list[policy_admin_pb2.RulePair]:
    pairs = [
        policy_admin_pb2.RulePair(decided=ours, would_decide=theirs, agrees=agrees, steps=steps)
        for agrees, counts in ((True, count.agree), (False, count.differ))
        for (ours, theirs), steps in counts.items()
    ]
    return sorted(pairs, key=lambda pair: -pair.steps)[:MOST_PAIRS]
