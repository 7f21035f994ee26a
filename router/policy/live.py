"""The active policy: swapped as a whole, and never by a bad one."""

from __future__ import annotations

import logging

from triroute.router.policy.decide import decide
from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy
from triroute.router.policy.sessions import Sessions
from triroute.router.types import Decision, Load, Request, Step

log = logging.getLogger("triroute.policy")


class ActivePolicy:
    """What the pipeline asks. A decision is made by one policy from beginning to end, and carries its revision."""

    def __init__(self, first: Policy) -> None:
        self.policy = first
        self.sessions = Sessions()
        self._latches = Latches()
        self.swaps = 0
        self.refused = 0  # policies, since the start
        self.refusal = ""  # why the last one was

    def decide(self, request: Request, step: Step, load: Load, dry: bool = False) -> Decision:
        """By the policy of this moment; a `dry` decision leaves nothing behind. Raises HintRefused."""
        policy = self.policy
        load = self._latches.see(load, policy.compiled.trips)
        return decide(policy, request, step, load, self.sessions.held(policy, request, step, load, dry))

    def swap(self, policy: Policy, why: str) -> None:
        """From now on, decide by this one."""
        before, self.policy = self.policy, policy
        self.swaps += 1
        log.info(
            "policy %s (%s) follows %s (%s): %s",
            policy.revision[:12],
            policy.name,
            before.revision[:12],
            before.name,
            why,
        )

    def refuse(self, what: str, error: str) -> None:
        """Count and log a policy that can't become active; the one in force stays."""
        self.refused += 1
        self.refusal = error
        log.error(
            "%s is refused, policy %s (%s) stays in force:\n%s",
            what,
            self.policy.revision[:12],
            self.policy.name,
            error,
        )
