"""Looks after the trial of one router: shares what it has counted, and stops a canary that is worse."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid

from triroute.router.errors import RevisionMoved, StoreUnavailable
from triroute.router.policy.follow import Follower
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.store import Kind, Move, Store
from triroute.router.policy.trial import tally
from triroute.router.policy.trial.turn import Trial

log = logging.getLogger("triroute.policy")

_LOOK_SECONDS = 0.5


class Steward:
    """Off the path of requests. While the store is away, a canary is judged by what is known, and stopped here at once;
    the others learn of it when the store is back."""

    def __init__(self, store: Store, live: ActivePolicy, follower: Follower) -> None:
        self.store = store
        self.live = live
        self.follower = follower
        self._name = uuid.uuid4().hex[:12]  # of this start: a restarted router counts anew
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except (StoreUnavailable, RevisionMoved):  # the follower sees what has changed
                continue
            except Exception as error:  # a bug must not end this task; once a kind is enough to log
                if repr(error) != self._trouble:
                    log.exception("looking after a policy on trial failed by a bug of ours")
                self._trouble = repr(error)

    async def look(self) -> None:
        """Share, judge, and stop what is worse. Raises StoreUnavailable, RevisionMoved."""
        trial = self.live.trial
        if trial is None:
            return
        try:
            await self._share(trial)
        finally:
            self._judge(trial)
        if trial.stopped:
            await self._stop(trial)

    async def _share(self, trial: Trial) -> None:
        name = trial.candidate.trial
        await self.store.tell(name, self._name, trial.judge.own.dumps())
        told = await self.store.told(name)
        trial.judge.others = [tally.loads(text) for router, text in told.items() if router != self._name]

    def _judge(self, trial: Trial) -> None:
        if trial.stopped or not trial.candidate.decides:
            return
        why = trial.judge.verdict()
        if why:
            trial.stopped = why
            candidate, active = trial.candidate, self.live.policy
            log.error(
                "canary %s (%s, %g %%) is stopped, policy %s (%s) decides all steps again: %s",
                *(
                    candidate.revision[:12],
                    trial.policy.name,
                    candidate.percent,
                    active.revision[:12],
                    active.name,
                    why,
                ),
            )

    async def _stop(self, trial: Trial) -> None:
        """For the whole fleet, unless another change has come meanwhile."""
        stopped = dataclasses.replace(trial.candidate, stopped=True)
        active, number = self.live.policy.revision, self.follower.number
        who = f"{self.follower.replica} (automatic)"
        move = Move(Kind.ABORT, active, "", who, trial.stopped, active, candidate=stopped, after=number)
        await self.store.move(move)
        await self.follower.catch_up()
