"""First match wins: (request, step, load) to a decision that explains itself. Pure; no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from triroute.router.errors import HintRefused, Violation
from triroute.router.features import Asked
from triroute.router.policy.compile import SEGMENT, Compiled, CompiledRule, Trace
from triroute.router.policy.conditions import Values
from triroute.router.policy.load import Policy
from triroute.router.policy.plan import NUMBERS, variant_for
from triroute.router.policy.vocabulary import Limits
from triroute.router.types import (
    Decision,
    DecodePlan,
    Extras,
    Held,
    HintOutcome,
    Hints,
    Load,
    Mode,
    SegmentKind,
    Step,
    StepKind,
    Verification,
)

_NO_HINTS = Hints()


def decide(policy: Policy, request: Asked, step: Step, load: Load, held: Held | None = None) -> Decision:
    """The rule that fires, its parameters within the limits, and what became of the hints. Raises HintRefused.

    `held` is the load that the session holds: rules see it instead, but for those that are urgent.
    """
    hints = request.hints
    outcomes: tuple[HintOutcome, ...] = ()
    hinted = hints != _NO_HINTS
    if hinted:
        step = believed(policy, request, step)
    compiled = policy.compiled
    values = [read(request, step, load) for read in compiled.reads]
    seen = values if held is None else [read(request, step, held.load) for read in compiled.reads]
    rule, failed, shadow = _first_match(compiled, values, seen)
    plan, extras = rule.plan, rule.extras
    segment_rules: tuple[tuple[SegmentKind, str], ...] = ()
    if compiled.kinds:
        extras, segment_rules, shadow = _inside(compiled, values, seen, rule, shadow)
    if hinted:
        outcomes = tuple(_judge_hints(hints, policy.allowed, plan, policy.file.limits))
        accepted = {outcome.hint for outcome in outcomes if outcome.accepted}
        plan = _follow(hints, accepted, plan)
        segments = tuple((kind, _follow(hints, accepted, own)) for kind, own in extras.segments)
        extras = dataclasses.replace(extras, segments=segments)
    trace = Trace(compiled, tuple(failed), values, seen)
    return Decision(
        *(step, rule.id, plan, policy.revision, trace, rule.clamps, outcomes, shadow, extras),
        load=load,
        canonical=policy.canonical,
        held=held,
        segment_rules=segment_rules,
    )


def believed(policy: Policy, request: Asked, step: Step) -> Step:
    """The step, or what the caller says that it is, where the policy lets it."""
    said = request.hints.step
    if said in (None, StepKind.UNKNOWN) or "step" not in policy.allowed:
        return step
    return Step(said or step.kind, 1.0, ("the caller's hint", *step.evidence))


def _first_match(compiled: Compiled, now: Values, held: Values) -> tuple[CompiledRule, list[int], tuple[str, ...]]:
    """The rule, and for each before it the number of its first test that fails; -1 for a shadow rule that matches."""
    failed: list[int] = []
    shadow: tuple[str, ...] = ()
    for rule in compiled.rules:
        values = now if rule.urgent else held
        number = 0
        for test in rule.tests:
            if not test(values):
                break
            number += 1
        else:
            if rule.enforced:
                return rule, failed, shadow
            shadow, number = (*shadow, rule.id), -1
        failed.append(number)
    raise LookupError("no rule is unconditional")


def _inside(
    compiled: Compiled, now: Values, held: Values, whole: CompiledRule, shadow: tuple[str, ...]
) -> tuple[Extras, tuple[tuple[SegmentKind, str], ...], tuple[str, ...]]:
    """The first match for each kind of segment that conditions name: plans, which rules they come from, shadow rules.

    Where that is the rule of the `whole` answer, its own plans for segments hold, as they do for all other kinds.
    """
    at, plans, rules = compiled.places[SEGMENT], dict(whole.extras.segments), {}
    for kind in compiled.kinds:
        inner = [*now[:at], kind.value, *now[at + 1 :]]
        outer = inner if held is now else [*held[:at], kind.value, *held[at + 1 :]]
        rule, _, noted = _first_match(compiled, inner, outer)
        shadow = (*shadow, *(name for name in noted if name not in shadow))
        if rule is not whole:
            plans[kind], rules[kind] = dict(rule.extras.segments).get(kind, rule.plan), rule.id
    extras = dataclasses.replace(whole.extras, segments=tuple((k, plans[k]) for k in SegmentKind if k in plans))
    return extras, tuple(rules.items()), shadow


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
    if name in NUMBERS and isinstance(value, int | float) and not (name == "block_length" and value == 0):
        least, most = getattr(limits, name)
        if not least <= value <= most:
            raise HintRefused.of(
                Violation(f"hints.{name}", f"{value:g} is outside the policy's limits; use {least:g} to {most:g}")
            )


def _follow(hints: Hints, accepted: set[str], plan: DecodePlan) -> DecodePlan:
    changes = {name: getattr(hints, name) for name in accepted if name != "step"}
    plan = dataclasses.replace(plan, **changes)
    return dataclasses.replace(
        plan, variant=variant_for(plan.mode, plan.variant), verification=plan.verification or Verification.EXACT
    )
