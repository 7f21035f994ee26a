"""Two policies: what differs in meaning, and which decisions of test cases change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triroute.router.errors import InvalidRequest
from triroute.router.policy.load import Policy
from triroute.router.policy.testing import Test, decided
from triroute.router.policy.vocabulary import PolicyFile
from triroute.router.types import Decision, DecodePlan


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `what` is a path such as `rule tool-call: use.mode`; None stands for "not there"."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Changed:
    """A test case that the two policies decide differently; each side as {rule, mode, …}, or {refused}."""

    test: str
    before: dict[str, Any]
    after: dict[str, Any]


def meaning(before: PolicyFile, after: PolicyFile) -> list[Change]:
    """What differs, comments and order of keys aside. Rules are matched by id."""
    found: list[Change] = []
    for part in ("metadata", "defaults", "limits", "hints", "session", "rollout"):
        found += _changes(f"{part}.", _flat(getattr(before, part) or {}), _flat(getattr(after, part) or {}))
    found += _changes("rates ", _rates(before), _rates(after))
    old, new = ({rule.id: rule for rule in file.rules} for file in (before, after))
    found += [Change(f"rule {name}", "there", None) for name in old if name not in new]
    found += [Change(f"rule {name}", None, "there") for name in new if name not in old]
    kept, now = [name for name in old if name in new], [name for name in new if name in old]
    found += [
        Change(f"rule {name}: place", place + 1, now.index(name) + 1)
        for place, name in enumerate(kept)
        if place != now.index(name)
    ]
    for name in kept:
        found += _changes(f"rule {name}: ", _flat(old[name]), _flat(new[name]))
    return found


def outcomes(before: Policy, after: Policy, tests: Sequence[Test]) -> list[Changed]:
    """The cases that are decided differently: another rule, plan or extra."""
    sides = ((test.name, _decision(before, test), _decision(after, test)) for test in tests)
    return [Changed(name, old, new) for name, old, new in sides if old != new]


def _decision(policy: Policy, test: Test) -> dict[str, Any]:
    try:
        return plain(decided(policy, test))
    except InvalidRequest as error:
        return {"refused": error.message}


def plain(decision: Decision) -> dict[str, Any]:
    """The rule, the plan and what goes beyond it, as plain values."""
    return {"rule": decision.rule_id, **plain_plan(decision.plan), **_plain(decision.extras)}


def in_words(side: dict[str, Any], name: str) -> Any:
    """A value of `plain` for people: a block length of 0 is chosen by the engine, or there are no blocks."""
    if name == "block_length" and side.get(name) == 0:
        return "none" if side.get("mode") == "autoregressive" else "auto"
    return side.get(name)


def plain_plan(plan: DecodePlan) -> dict[str, Any]:
    """A plan as plain values. What records hold has travelled as 32-bit floats, so that is how far they count."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in _plain(plan).items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _flat(part: Any, prefix: str = "") -> dict[str, Any]:
    """{"a.b": value} of a model; lists of words are values."""
    data = part if isinstance(part, dict) else part.model_dump(mode="json", by_alias=True, exclude_none=True)
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _rates(file: PolicyFile) -> dict[str, Any]:
    flat = (_flat(rate, f"{place}: ") for place, rate in enumerate(file.rates, start=1))
    return {key: value for one in flat for key, value in one.items()}


def _changes(prefix: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield Change(prefix + key, before.get(key), after.get(key))
