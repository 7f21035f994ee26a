"""The active policy, and what is on trial beside it: swapped as a whole, and never by a bad one."""

from __future__ import annotations

import logging

from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy
from triroute.router.policy.sessions import Sessions
from triroute.router.policy.trial import Candidate
from triroute.router.policy.trial.turn import Trial, Turn
from triroute.router.types import Decision, Load, Request, Step

log = logging.getLogger("triroute.policy")


class ActivePolicy:
    """What the pipeline asks. A decision is made by one policy from beginning to end, and carries its revision."""

    def __init__(self, first: Policy) -> None:
        self.policy = first
        self.trial: Trial | None = None
        self.candidate: Candidate | None = None  # on trial, or stopped
        self.sessions = Sessions()
        self._latches = Latches()
        self.swaps = 0
        self.refused = 0  # policies, since the start
        self.refusal = ""  # why the last one was

    def turn(self, request: Request, request_id: str, dry: bool = False) -> Turn:
        """A step's turn, by the policies of this moment; a `dry` one leaves nothing behind."""
        return Turn(self.policy, self._latches, self.sessions, self.trial, request, request_id, dry)

    def decide(self, request: Request, step: Step, load: Load, dry: bool = False) -> Decision:
        """By the policy of this moment; no outcome is counted. Raises HintRefused."""
        return self.turn(request, "", dry).decide(step, load)

    def swap(self, policy: Policy, why: str) -> None:
        """From now on, decide by this one. What was on trial beside the one before ends."""
        before, self.policy = self.policy, policy
        self.trial = self.candidate = None
        self.swaps += 1
        log.info(
            "policy %s (%s) follows %s (%s): %s",
            policy.revision[:12],
            policy.name,
            before.revision[:12],
            before.name,
            why,
        )

    def put_on_trial(self, candidate: Candidate | None, policy: Policy | None, why: str) -> None:
        """Beside the active policy from now on. No `policy`: the candidate is stopped, or can't be followed."""
        before = self.candidate
        self.candidate = candidate
        if candidate is None or policy is None:
            self.trial = None
        elif self.trial is not None and self.trial.candidate.trial == candidate.trial:
            self.trial.become(candidate)
        else:
            self.trial = Trial(candidate, policy)
        if candidate != before:
            log.info("%s: %s", _words(candidate) if candidate else "no policy is on trial", why)

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


def _words(candidate: Candidate) -> str:
    name = f"policy {candidate.revision[:12]}"
    if candidate.stopped:
        return f"{name} is stopped"
    return f"{name} decides {candidate.percent:g} %" if candidate.percent else f"{name} is evaluated, without effect"
