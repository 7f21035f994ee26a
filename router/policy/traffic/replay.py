"""Recorded steps, decided again: by the same `decide` as live ones, in the order of their arrival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from triroute.router.errors import HintRefused
from triroute.router.policy.decide import decide
from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.types import Decision


@dataclass(frozen=True, slots=True)
class Made:
    """What a policy makes of a recorded step: a decision, or why the step is refused."""

    of: Recorded
    decision: Decision | None
    refused: str = ""


def replay(policy: Policy, steps: Iterable[Recorded]) -> list[Made]:
    """Decide all. A switch that was not looked at then goes by the loads before, as far as they were recorded."""
    latches = Latches()
    return [_made(policy, step, latches) for step in steps]


def _made(policy: Policy, step: Recorded, latches: Latches) -> Made:
    now = latches.see(step.load, policy.compiled.trips)
    try:
        return Made(step, decide(policy, step.features, step.step, now, step.held(policy)))
    except HintRefused as error:
        return Made(step, None, error.message)
