"""Proofs that need more than one step, and those that are given up rather than guessed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from triroute.router.policy import parse
from triroute.router.policy.lint import lint
from triroute.router.policy.lint.reach import Reaches


def _lint(*whens: dict[str, Any]) -> dict[str, str]:
    """What is said about each rule."""
    rules: list[dict[str, Any]] = [{"id": f"r{n}", "when": when, "use": {}} for n, when in enumerate(whens)]
    text = yaml.safe_dump({"version": 1, "metadata": {"name": "t"}, "rules": [*rules, {"id": "rest", "use": {}}]})
    return {one.rule: f"{one.code}: {one.message}" for one in lint(text, "p") if one.code != "flapping-load"}


def test_three_rules_cover_a_fourth_and_are_named() -> None:
    said = _lint(
        {"step": "code", "confidence": {"lt": 0.3}},
        {"tags": {"any": ["x"]}},
        {"step": ["code", "plan"], "confidence": {"gte": 0.3}, "tools": True},
        {"step": ["code", "prose"], "confidence": {"gt": 0.2}, "not": {"tools": True}},
        {"step": "code", "session": True},
    )
    assert list(said) == ["r4"]
    assert said["r4"] == "unreachable-rule: never decides: together, r0, r2, r3 take every step that it matches"


def test_a_gap_is_seen() -> None:
    low, high = {"max_tokens": {"lt": 10}}, {"max_tokens": {"gt": 10}}
    assert _lint(low, high, {"session": True}) == {}
    assert list(_lint(low, {"max_tokens": {"gte": 10}}, {"session": True})) == ["r2"]
    # whole numbers leave no gap between 9 and 10, others do
    assert list(_lint({"max_tokens": {"lte": 9}}, {"max_tokens": {"gte": 10}}, {"session": True})) == ["r2"]
    assert _lint({"confidence": {"lte": 0.4}}, {"confidence": {"gte": 0.5}}, {"session": True}) == {}


def test_what_the_caller_did_not_say_is_in_neither_half() -> None:
    low, high = {"expected_tokens": {"lt": 10}}, {"expected_tokens": {"gte": 10}}
    assert _lint(low, high, {"session": True}) == {}
    assert list(_lint(low, {"not": low}, {"session": True})) == ["r2"]


def test_load_switches() -> None:
    calm, busy = ({"load": {"running": {bound: 8, "resume_at": 6}}} for bound in ("lt", "gte"))
    assert list(_lint(calm, busy, {"session": True})) == ["r2"]
    other = {"load": {"running": {"gte": 8, "resume_at": 5}}}  # another gap: both may be off, or on, at 7
    assert _lint(calm, other, {"session": True}) == {}
    assert list(_lint(calm, {"load": {"running": {"lte": 6}}})) == ["r1"]
    assert _lint(calm, {"load": {"running": {"lte": 7}}}) == {}


def test_shadow_rules_take_nothing() -> None:
    rules = [
        {"id": "noted", "use": {}, "enforcement": "shadow"},
        {"id": "rest", "use": {}},
    ]
    assert lint(yaml.safe_dump({"version": 1, "metadata": {"name": "t"}, "rules": rules}), "p") == ()


@pytest.mark.timeout(60)
def test_what_takes_too_long_is_not_claimed() -> None:
    wide = [{"any": [{"tags": {"any": [f"{a}{n}"]}} for a in "ab"]} for n in range(14)]  # 2 to the 14 alternatives
    assert _lint({"all": wide}, {"all": wide, "session": True}) == {}


def test_many_rules() -> None:
    whens = [{"tags": {"any": [f"t{n}"]}, "confidence": {"gte": n / 200}} for n in range(200)]
    file = yaml.safe_dump(
        {
            "version": 1,
            "metadata": {"name": "t"},
            "rules": [*({"id": f"r{n}", "when": w, "use": {}} for n, w in enumerate(whens)), {"id": "rest", "use": {}}],
        }
    )
    assert all(rule.covered_by == () for rule in Reaches(parse(file, "p").file).rules)
