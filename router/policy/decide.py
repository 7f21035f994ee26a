"""First match wins: (request, step, load) to a decision that explains itself. Pure; no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from triroute.router.errors import HintRefused, Violation
from triroute.router.policy.conditions import first_failure
from triroute.router.policy.load import Policy
from triroute.router.policy.vocabulary import Limits, Use
from triroute.router.types import (
    Clamp,
    Decision,
    DecodePlan,
    DraftSource,
    HintOutcome,
    Hints,
    Load,
    Mode,
    PassedOver,
    Request,
    Step,
    StepKind,
    Variant,
    Verification,
)

_NUMBERS = ("block_length", "confidence_threshold", "max_steps")


def decide(policy: Policy, request: Request, step: Step, load: Load) -> Decision:
    """The rule that fires, its parameters within the limits, and what became of the hints. Raises HintRefused."""
    allowed = frozenset(policy.file.hints.allow)
    step = _hinted_step(request.hints, step, allowed)
    passed_over, shadow = [], []
    for rule in policy.file.rules:
        failure = first_failure(rule.when, request, step, load)
        if failure is None and rule.enforcement == "enforce":
            break
        if failure is None:
            shadow.append(rule.id)
        passed_over.append(PassedOver(rule.id, failure or "shadow: noted, not enforced"))
    plan, clamps = _clamped(_plan(policy.file.defaults, rule.use), policy.file.limits)
    outcomes = tuple(_judge_hints(request.hints, allowed, plan, policy.file.limits))
    accepted = {outcome.hint for outcome in outcomes if outcome.accepted}
    plan = _follow(request.hints, accepted, plan)
    return Decision(
        step, rule.id, plan, policy.revision, tuple(passed_over), tuple(clamps), outcomes, shadow=tuple(shadow)
    )


def _hinted_step(hints: Hints, step: Step, allowed: frozenset[str]) -> Step:
    if hints.step in (None, StepKind.UNKNOWN) or "step" not in allowed:
        return step
    return Step(hints.step or step.kind, 1.0, ("the caller's hint", *step.evidence))


def _plan(defaults: Use, use: Use) -> DecodePlan:
    """The rule's parameters over the defaults."""

    def pick(name: str) -> object:
        own = getattr(use, name)
        return own if own is not None else getattr(defaults, name)

    mode = Mode(str(pick("mode") or Mode.AUTOREGRESSIVE))
    variant = use.variant or (defaults.variant if use.mode in (None, defaults.mode) else None)
    given = {name: pick(name) for name in (*_NUMBERS, "draft_threshold", "fixed_steps") if pick(name) is not None}
    if given.get("block_length") == "auto":
        given["block_length"] = 0
    sources = pick("draft_sources")
    if isinstance(sources, list):
        given["draft_sources"] = frozenset(map(DraftSource, sources))
    plan = DecodePlan(mode, _variant_for(mode, Variant(variant) if variant else None))
    return dataclasses.replace(plan, **given)  # type: ignore[arg-type]


def _variant_for(mode: Mode, variant: Variant | None) -> Variant | None:
    return (variant or Variant.LINEAR) if mode is Mode.SELF_SPECULATION else None


def _clamped(plan: DecodePlan, limits: Limits) -> tuple[DecodePlan, list[Clamp]]:
    clamps = []
    for name in _NUMBERS:
        asked = getattr(plan, name)
        least, most = getattr(limits, name)
        became = min(max(asked, least), most)
        if became != asked and not (name == "block_length" and asked == 0):
            clamps.append(Clamp(name, asked, became))
            plan = dataclasses.replace(plan, **{name: became})
    return plan, clamps


def _judge_hints(hints: Hints, allowed: frozenset[str], plan: DecodePlan, limits: Limits) -> Iterator[HintOutcome]:
    """Each given hint: followed, or why not. Raises HintRefused for one outside the limits."""
    mode = hints.mode if hints.mode is not None and "mode" in allowed else plan.mode
    for field in dataclasses.fields(hints):
        name, value = field.name, getattr(hints, field.name)
        if value is None or value is StepKind.UNKNOWN:
            continue
        _refuse_outside(name, value, limits)
        if name not in allowed:
            yield HintOutcome(name, False, "the policy does not allow this hint")
        elif name == "variant" and mode is not Mode.SELF_SPECULATION:
            yield HintOutcome(name, False, f"{mode.value} has no variants")
        else:
            yield HintOutcome(name, True, "allowed by the policy")


def _refuse_outside(name: str, value: object, limits: Limits) -> None:
    if name in _NUMBERS and isinstance(value, int | float) and not (name == "block_length" and value == 0):
        least, most = getattr(limits, name)
        if not least <= value <= most:
            raise HintRefused.of(
                Violation(f"hints.{name}", f"{value:g} is outside the policy's limits; use {least:g} to {most:g}")
            )


def _follow(hints: Hints, accepted: set[str], plan: DecodePlan) -> DecodePlan:
    changes = {name: getattr(hints, name) for name in accepted if name != "step"}
    plan = dataclasses.replace(plan, **changes)
    return dataclasses.replace(
        plan, variant=_variant_for(plan.mode, plan.variant), verification=plan.verification or Verification.EXACT
    )
