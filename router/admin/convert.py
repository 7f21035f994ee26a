"""The keeper's state as messages."""

from __future__ import annotations

from triroute.proto import policy_admin_pb2
from triroute.router.errors import StoreUnavailable
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.store import Acknowledgement, Change, Kind

_KINDS = {
    Kind.SEED: policy_admin_pb2.CHANGE_KIND_SEED,
    Kind.FILE: policy_admin_pb2.CHANGE_KIND_FILE,
    Kind.APPLY: policy_admin_pb2.CHANGE_KIND_APPLY,
    Kind.ROLLBACK: policy_admin_pb2.CHANGE_KIND_ROLLBACK,
}


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
