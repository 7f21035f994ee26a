"""A parsed policy to what `decide` runs: each rule's tests as closures, its plan and clamps made once."""

from __future__ import annotations

from dataclasses import dataclass

from triroute.router.policy import formula
from triroute.router.policy.conditions import SWITCHES, Places, Test, Values, compiled, failure
from triroute.router.policy.facts import ASKED, FACTS, TRIPPED, Read
from triroute.router.policy.formula import Formula, OneOf, Switched
from triroute.router.policy.plan import clamped, extras_of, merged, plan_of
from triroute.router.policy.vocabulary import PolicyFile
from triroute.router.types import Clamp, DecodePlan, Extras, PassedOver, SegmentKind, Trip

SEGMENT = "segment"  # the fact that differs within an answer
_SHADOW = "shadow: noted, not enforced"
_HELD = "as when the session began"


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule. `tests` and `parts` go together: what must hold, as closures and as formulas.

    `urgent`: its conditions on the load are judged by the load of the moment, whatever a session holds.
    """

    id: str
    tests: tuple[Test, ...]
    parts: tuple[Formula, ...]
    enforced: bool
    plan: DecodePlan
    clamps: tuple[Clamp, ...]
    extras: Extras
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """All rules. `reads` fills the values that their tests look at; only what some rule asks about is read.

    `kinds` are the segments that conditions name: for each, the rules are gone through once more.
    """

    rules: tuple[CompiledRule, ...]
    reads: tuple[Read, ...]
    places: Places
    trips: tuple[Trip, ...]
    kinds: tuple[SegmentKind, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """Which test failed first in each rule that was passed over (-1: none, a shadow rule), in words when called.

    `values` are those of the moment, `held` those that a session holds; the same where it holds none. The words
    leave out what the caller said where they are not `quoting`.
    """

    policy: Compiled
    failed: tuple[int, ...]
    values: Values
    held: Values

    def __call__(self, quoting: bool) -> tuple[PassedOver, ...]:
        rules, withheld = zip(self.policy.rules, self.failed, strict=False), frozenset() if quoting else ASKED
        return tuple(PassedOver(rule.id, self._why(rule, number, withheld)) for rule, number in rules)

    def _why(self, rule: CompiledRule, number: int, withheld: frozenset[str]) -> str:
        if number < 0:
            return _SHADOW
        values = self.values if rule.urgent else self.held
        why = failure(rule.parts[number], values, self.policy.places, withheld)
        return f"{why} ({_HELD})" if values is not self.values and "load." in why else why


def compile_policy(file: PolicyFile) -> Compiled:
    """Everything about a policy that does not depend on the step."""
    formulas = [formula.of(rule.when, ("rules", index, "when")) for index, rule in enumerate(file.rules)]
    used = [atom for whole in formulas for atom in formula.atoms(whole)]
    facts = sorted({atom.fact for atom in used})
    places = {name: at for at, name in enumerate((*facts, SWITCHES))}
    trips = tuple(dict.fromkeys(atom.trip for atom in used if isinstance(atom, Switched)))
    reads = (*(FACTS[name].read for name in facts), TRIPPED)
    rules = []
    for rule, whole in zip(file.rules, formulas, strict=True):
        use = merged(file.defaults, rule.use)
        plan, clamps = clamped(plan_of(use), use, file.limits)
        tests = tuple(compiled(part, places) for part in whole.parts)
        enforced, extras = rule.enforcement == "enforce", extras_of(use, file.limits)
        rules.append(CompiledRule(rule.id, tests, whole.parts, enforced, plan, clamps, extras, rule.urgent))
    named = {value for atom in used if isinstance(atom, OneOf) and atom.fact == SEGMENT for value in atom.values}
    return Compiled(tuple(rules), reads, places, trips, tuple(kind for kind in SegmentKind if kind.value in named))
