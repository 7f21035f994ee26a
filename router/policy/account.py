"""One decision, accounted for: the facts that the policy looks at, every rule, and which one nearly decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triroute.router.features import Asked
from triroute.router.policy.conditions import SWITCHES, failure
from triroute.router.policy.decide import decide
from triroute.router.policy.load import Policy
from triroute.router.types import Decision, Held, Load, Step

DECIDES, NOTED, PASSED, LATER = "decides", "shadow", "passed over", "not looked at"


@dataclass(frozen=True, slots=True)
class RuleAccount:
    """What became of a rule; `failing`: each of its conditions that does not hold, in words."""

    id: str
    outcome: str
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """A decision and all that led to it. `nearest`: a rule before it that lacked a single condition, or empty."""

    decision: Decision
    facts: dict[str, Any]
    rules: tuple[RuleAccount, ...]
    nearest: str


def account(policy: Policy, request: Asked, step: Step, load: Load, held: Held | None = None) -> Account:
    """Decide, and say everything about it. Raises HintRefused."""
    decision = decide(policy, request, step, load, held)
    compiled = policy.compiled
    now = [read(request, decision.step, load) for read in compiled.reads]
    seen = now if held is None else [read(request, decision.step, held.load) for read in compiled.reads]
    rules, outcome = [], PASSED
    for rule in compiled.rules:
        if outcome == LATER:
            rules.append(RuleAccount(rule.id, LATER))
            continue
        values = now if rule.urgent else seen
        tested = zip(rule.tests, rule.parts, strict=True)
        failing = tuple(failure(part, values, compiled.places) for test, part in tested if not test(values))
        if rule.id == decision.rule_id:
            rules.append(RuleAccount(rule.id, DECIDES))
            outcome = LATER
        else:
            rules.append(RuleAccount(rule.id, NOTED if rule.id in decision.shadow else PASSED, failing))
    nearest = next((rule.id for rule in rules if rule.outcome == PASSED and len(rule.failing) == 1), "")
    facts = {name: _plain(seen[at]) for name, at in compiled.places.items() if name != SWITCHES}
    return Account(decision, facts, tuple(rules), nearest)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | tuple | list):
        return sorted(map(str, value))
    return str(value) if isinstance(value, str) else value
