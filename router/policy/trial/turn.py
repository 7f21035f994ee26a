"""One step's turn: which policy decides it, what the other one would have decided, and how it went."""

from __future__ import annotations

import dataclasses
import logging
import time

from triroute.router.errors import TrirouteError
from triroute.router.policy.decide import decide
from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy
from triroute.router.policy.sessions import Sessions
from triroute.router.policy.trial.bucket import is_in
from triroute.router.policy.trial.candidate import Candidate
from triroute.router.policy.trial.judge import Judge
from triroute.router.types import Arm, Decision, Load, Request, ShadowDecision, Step

log = logging.getLogger("triroute.policy")

REFUSED = "(refused)"  # in place of a rule
SLOW_SECONDS = 0.002  # of the processor: a busy machine makes no policy slow
_RESTS = 100  # times as long as it took: a slow policy costs 1 % of the time at most


class Trial:
    """A candidate that runs beside the active policy."""

    def __init__(self, candidate: Candidate, policy: Policy) -> None:
        self.candidate = candidate
        self.policy = policy
        self.judge = Judge(candidate)
        self.stopped = ""  # why this router gives it no more steps
        self._latches = Latches()
        self._sessions = Sessions()  # what they would hold under the policy that did not decide; told to nobody
        self._rests_until = 0.0
        self._complained = False

    def become(self, candidate: Candidate) -> None:
        """The same trial, with another percentage."""
        self.candidate = candidate

    def arm_of(self, request: Request, request_id: str) -> Arm:
        """Who decides a step. A request without an id is only asked about, and can be of neither."""
        candidate = self.candidate
        if not candidate.decides or self.stopped:
            return Arm.NONE
        key = candidate.key_of(request, request_id)
        taken = bool(key) and is_in(candidate.revision, key, candidate.percent)
        return Arm.CANARY if taken else Arm.STABLE

    def see(self, load: Load) -> Load:
        """The load, with the candidate's own switches; as it is where a bug is in their way."""
        try:
            return self._latches.see(load, self.policy.compiled.trips)
        except Exception:
            self.judge.own.shadow.failed += 1
            self.complain(self.policy)
            return load

    def shadow(self, policy: Policy, ours: Decision | None, asked: tuple[Request, Step, Load]) -> ShadowDecision | None:
        """What `policy` would have decided, counted. Whatever goes wrong ends here. None where it was not asked."""
        count = self.judge.own.shadow
        if time.monotonic() < self._rests_until:
            count.skipped += 1
            return None
        start = time.thread_time()
        told = self._told(policy, ours, asked)
        seconds = time.thread_time() - start
        if seconds > SLOW_SECONDS:
            count.slow += 1
            self._rests_until = time.monotonic() + _RESTS * seconds
        return told

    def _told(self, policy: Policy, ours: Decision | None, asked: tuple[Request, Step, Load]) -> ShadowDecision:
        count, rule = self.judge.own.shadow, ours.rule_id if ours else REFUSED
        try:
            theirs = decide(policy, *asked, self._sessions.held(policy, *asked))
        except TrirouteError as error:
            count.add((rule, REFUSED), ours is None)
            return ShadowDecision(policy.revision, "", None, ours is None, error.message)
        except Exception as error:
            count.failed += 1
            self.complain(policy)
            return ShadowDecision(policy.revision, "", None, False, f"failed by a bug: {type(error).__name__}")
        same = ours is not None and (ours.plan, ours.extras) == (theirs.plan, theirs.extras)
        count.add((rule, theirs.rule_id), same)
        return ShadowDecision(policy.revision, theirs.rule_id, theirs.plan, same)

    def complain(self, policy: Policy) -> None:
        """Log the exception at hand, the first time."""
        if not self._complained:
            log.exception("policy %s (%s) can't decide by a bug of ours", policy.revision[:12], policy.name)
        self._complained = True


class Turn:
    """Made when a step arrives: a change of the policy meanwhile does not touch it."""

    def __init__(
        self,
        active: Policy,
        latches: Latches,
        sessions: Sessions,
        trial: Trial | None,
        request: Request,
        request_id: str,
        dry: bool = False,
    ) -> None:
        self.arm = trial.arm_of(request, request_id) if trial is not None else Arm.NONE
        self._active = active
        self._latches = latches
        self._sessions = sessions
        self._dry = dry
        self._trial = trial
        self._request = request
        self._decision: Decision | None = None
        self._other: tuple[Policy, tuple[Request, Step, Load]] | None = None
        self._broke = False

    def decide(self, step: Step, load: Load) -> Decision:
        """By the policy whose turn it is. Raises HintRefused."""
        request, trial = self._request, self._trial
        seen = self._latches.see(load, self._active.compiled.trips)
        if trial is None:
            return self._by(self._active, step, seen)
        theirs = trial.see(load)
        if self.arm is Arm.CANARY:
            self._other = (self._active, (request, step, seen))
            decision = self._by_candidate(trial, step, theirs)
            if decision is not None:
                return decision
        self._other = (trial.policy, (request, step, theirs))
        decision = self._by(self._active, step, seen)
        self._decision = decision if self.arm is Arm.NONE else dataclasses.replace(decision, arm=Arm.STABLE)
        return self._decision

    def end(self, failed: bool, ms: float | None) -> ShadowDecision | None:
        """Count how the step went (`ms` a token, None without a time), and what the other policy would have decided.

        None where there is none, or it is at rest. Never raises.
        """
        trial = self._trial
        if trial is None:
            return None
        try:
            if self.arm is not Arm.NONE:
                key = trial.candidate.key_of(self._request, "")
                how = (True, None) if self._broke else (failed, ms)
                trial.judge.note(self.arm is Arm.CANARY, *how, key, time.monotonic())
            if self._other is None or self._broke:
                return None
            policy, asked = self._other
            return trial.shadow(policy, self._decision, asked)
        except Exception:
            trial.judge.own.shadow.failed += 1
            trial.complain(trial.policy)
            return None

    def _by(self, policy: Policy, step: Step, load: Load) -> Decision:
        """Raises HintRefused."""
        request = self._request
        return decide(policy, request, step, load, self._sessions.held(policy, request, step, load, self._dry))

    def _by_candidate(self, trial: Trial, step: Step, load: Load) -> Decision | None:
        """None where a bug kept it from deciding: the active policy then does, and the canary has failed the step."""
        try:
            decision = self._by(trial.policy, step, load)
            self._decision = dataclasses.replace(decision, arm=Arm.CANARY)
        except TrirouteError:
            raise
        except Exception:
            self._broke = True
            trial.judge.own.shadow.failed += 1
            trial.complain(trial.policy)
        return self._decision
