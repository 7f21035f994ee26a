"""How a step will be decoded, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from triroute.router.types.load import Held, Load
from triroute.router.types.plan import DecodePlan, Mode, SegmentKind
from triroute.router.types.step import Step


class Capture(StrEnum):
    """What is kept of a request."""

    NONE = "none"
    FEATURES = "features"
    CONTENT = "content"


class Arm(StrEnum):
    """Which policy of a canary decided. NONE: there is no canary."""

    NONE = "none"
    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Extras:
    """What a rule asks for beyond the decoder.

    `escalation` is (when, to which mode, how often at most); `segments` has a plan for each kind that differs.
    """

    grammar: str = "as_asked"
    escalation: tuple[tuple[str, ...], Mode, int] | None = None
    segments: tuple[tuple[SegmentKind, DecodePlan], ...] = ()
    capture: Capture = Capture.FEATURES
    audit: str = "best_effort"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A rule that did not fire, and its first failing condition with the actual value."""

    rule_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Clamp:
    """A parameter that a limit moved."""

    parameter: str
    asked: float
    became: float


@dataclass(frozen=True, slots=True)
class HintOutcome:
    """What became of a hint."""

    hint: str
    accepted: bool
    why: str


def _nothing(quoting: bool) -> tuple[PassedOver, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Decision:
    """How a step will be decoded, and why. `trace` is called for words only where somebody reads them.

    `load` is the one that it was made under; `canonical` is the policy's text whose SHA-256 the revision is.
    `segment_rules` name the rules that other plans for segments come from, where that is not `rule_id`.
    """

    step: Step
    rule_id: str
    plan: DecodePlan
    policy_revision: str
    trace: Callable[[bool], tuple[PassedOver, ...]] = field(default=_nothing, compare=False, repr=False)
    clamps: tuple[Clamp, ...] = ()
    hints: tuple[HintOutcome, ...] = ()
    shadow: tuple[str, ...] = ()
    extras: Extras = Extras()
    load: Load = field(default=Load(), compare=False)
    canonical: str = field(default="", compare=False, repr=False)
    arm: Arm = Arm.NONE
    held: Held | None = None
    segment_rules: tuple[tuple[SegmentKind, str], ...] = ()

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """The rules before the one that fired, in order, and why each did not."""
        return self.trace(True)

    @property
    def passed_over_unquoted(self) -> tuple[PassedOver, ...]:
        """The same, without what the caller said."""
        return self.trace(False)


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What another policy would have decided, without effect. `agrees`: the same would have run.

    `rule_id` is empty and `plan` None where it would have refused the step, or could not say: `error` has why.
    """

    policy_revision: str
    rule_id: str
    plan: DecodePlan | None
    agrees: bool
    error: str = ""
