"""How a step's output is written: as decided, or again where the first was wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

from triroute.router.structured.check import is_checked
from triroute.router.types import Decision, DecodePlan, Mode, Request, Sampling, SegmentKind, Variant

INVALID = "invalid_output"  # in a policy's `escalation.on`
GRAMMAR_OFF = "off"  # in a policy's `grammar`
_STIRRED = 0.7  # temperature where greedy draws were wrong
_SEEDS = 2**64


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is asked of the engine. `number` 0 is what was decided."""

    plan: DecodePlan
    segments: tuple[tuple[SegmentKind, DecodePlan], ...]
    sampling: Sampling
    unconstrained: bool
    number: int = 0

    @classmethod
    def first(cls, decision: Decision, request: Request) -> Attempt:
        """As decided."""
        extras = decision.extras
        return cls(decision.plan, extras.segments, request.sampling, extras.grammar == GRAMMAR_OFF)

    def again(self, mode: Mode) -> Attempt:
        """With a grammar, in `mode`. Where the same draws would come again, with other ones."""
        plan = DecodePlan(mode, Variant.LINEAR if mode is Mode.SELF_SPECULATION else None)
        modes = {mode, self.plan.mode, *(own.mode for _, own in self.segments)}
        exact = Mode.DIFFUSION not in modes
        sampling, number = self.sampling, self.number + 1
        if not self.unconstrained and (exact or number > 1):
            seed = (sampling.seed + 1) % _SEEDS
            sampling = replace(sampling, seed=seed, temperature=sampling.temperature or _STIRRED)
        return Attempt(plan, (), sampling, unconstrained=False, number=number)


def may_escalate(decision: Decision, request: Request) -> bool:
    """Whether wrong output is to be written again."""
    escalation = decision.extras.escalation
    return escalation is not None and INVALID in escalation[0] and is_checked(request)
