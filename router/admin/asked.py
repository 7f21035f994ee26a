"""What is the same in every change that is asked for: who, why, and after which revision."""

from __future__ import annotations

from triroute.proto import policy_admin_pb2
from triroute.router.errors import InvalidRequest, Violation
from triroute.router.policy.store import Store
from triroute.router.policy.store.base import SHORTEST_PREFIX, moved

_LONGEST_AUTHOR, _LONGEST_REASON = 128, 512
_PREFIXES = ("expected_revision", "expected_candidate")

Moving = (
    policy_admin_pb2.ApplyPolicyRequest | policy_admin_pb2.RollbackPolicyRequest | policy_admin_pb2.TryPolicyRequest
)
Ending = policy_admin_pb2.EndTrialRequest | policy_admin_pb2.PromotePolicyRequest


def check(message: Moving | Ending, *more: Violation) -> None:
    """Raises InvalidRequest, for all that is wrong at once."""
    wrong = list(more)
    for name, longest in (("author", _LONGEST_AUTHOR), ("reason", _LONGEST_REASON)):
        value = getattr(message, name)
        if not value.strip():
            wrong.append(Violation(name, "is missing; it stays in the history"))
        elif len(value) > longest:
            wrong.append(Violation(name, f"has {len(value)} characters; at most {longest}"))
    given = {field.name: value for field, value in message.ListFields() if field.name in _PREFIXES}
    for name, prefix in given.items():
        if len(prefix) < SHORTEST_PREFIX:
            wrong.append(Violation(name, f"{prefix!r} is too short; give at least {SHORTEST_PREFIX} digits"))
    if wrong:
        raise InvalidRequest.of(*wrong)


async def expected(message: Moving, store: Store) -> str | None:
    """The revision that must be active, whole; None where any may be. Raises RevisionMoved."""
    if not message.HasField("expected_revision"):
        return None
    now = await active(store)
    if not now.startswith(message.expected_revision):
        raise moved(now, message.expected_revision)
    return now


async def active(store: Store) -> str:
    """The active revision; empty in an empty store."""
    latest = await store.latest()
    return latest.revision if latest else ""
