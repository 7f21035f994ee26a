"""What lint claims is so: a rule that it calls dead decides no step, whatever policy and step are drawn."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from triroute.router.policy import Policy, decide, parse
from triroute.router.policy.lint import lint
from triroute.router.policy.lint.space import covers
from triroute.router.types import (
    Held,
    Load,
    Message,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Step,
    StepKind,
    Tool,
    ToolChoice,
    ToolChoiceKind,
)

DEAD = ("contradiction", "shadowed-rule", "unreachable-rule")


def _when(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    bound = rng.randint(0, 3)
    options: dict[str, Any] = {
        "step": rng.sample(["plan", "code", "prose", "tool_call", "unknown"], rng.randint(1, 4)),
        "segment": rng.sample(["prose", "code", "tool_call", "plan"], rng.randint(1, 3)),
        "confidence": {rng.choice(["lt", "lte", "gt", "gte"]): rng.choice([0, 0.5, 1])},
        "max_tokens": {rng.choice(["lt", "lte", "gt", "gte"]): rng.choice([1, 2, 2.5, 3])},
        "tools": rng.random() < 0.5,
        "tool": rng.choice(["a*", "ab", "*", "?b"]),
        "tool_choice": rng.choice(["required", ["none", "auto"]]),
        "tenant": rng.choice(["a*", "ab", ["b", "ab"]]),
        "tags": {rng.choice(["any", "all", "none"]): rng.sample("xyz", 2)},
        "load": {"running": {rng.choice(["lt", "lte", "gt", "gte"]): bound + 2, "resume_at": bound}},
        "expected_tokens": {rng.choice(["lt", "gte"]): rng.randint(0, 2)},
    }
    when = {name: options[name] for name in rng.sample(sorted(options), rng.randint(1, 2))}
    if depth < 2 and rng.random() < 0.4:
        when[rng.choice(["all", "any"])] = [_when(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    if depth < 2 and rng.random() < 0.2:
        when["not"] = _when(rng, depth + 1)
    return when


def _step(rng: random.Random) -> tuple[Request, Step]:
    tools = tuple(Tool(name) for name in rng.sample(["ab", "a", "b", "cb"], rng.choice([0, 1, 2])))
    kinds = list(ToolChoiceKind) if tools else [ToolChoiceKind.AUTO, ToolChoiceKind.NONE]
    request = Request(
        (Message(Role.USER, "x"),),
        tools=tools,
        tool_choice=ToolChoice(rng.choice(kinds)),
        response_format=ResponseFormat(),
        sampling=Sampling(rng.randint(1, 4)),
        tags=frozenset(rng.sample("xyz", rng.randint(0, 3))),
        tenant=rng.choice(["", "a", "ab", "b"]),
        expected_tokens=rng.choice([None, 0, 1, 2]),
    )
    return request, Step(rng.choice(list(StepKind)), rng.choice([0, 0.25, 0.5, 0.75, 1]))


def _load(rng: random.Random, policy: Policy) -> Load:
    tripped = frozenset(trip for trip in policy.compiled.trips if rng.random() < 0.5)
    return Load(rng.randint(0, 6), tripped=tripped)


@pytest.mark.parametrize("seed", range(4))
def test_dead_rules_never_decide_whatever_load_a_session_holds(seed: int) -> None:
    rng, claims = random.Random(seed), 0
    for _ in range(12):
        rules: list[dict[str, Any]] = [
            {"id": f"r{number}", "when": _when(rng), "use": {}, "urgent": rng.random() < 0.5} for number in range(8)
        ]
        rules.append({"id": "rest", "use": {}})
        session = {"sticky": "load"}
        text = yaml.safe_dump({"version": 1, "metadata": {"name": "t"}, "session": session, "rules": rules})
        policy = parse(text, "p")
        dead = {finding.rule for finding in lint(text, "p") if finding.code in DEAD}
        claims += len(dead)
        for _ in range(150):
            held = Held(_load(rng, policy), 0, "x")
            decision = decide(policy, *_step(rng), _load(rng, policy), held)
            assert not dead & {decision.rule_id, *dict(decision.segment_rules).values()}, text
    assert claims > 5


@pytest.mark.parametrize("seed", range(8))
def test_dead_rules_never_decide(seed: int) -> None:
    rng, claims = random.Random(seed), 0
    for _ in range(12):
        rules: list[dict[str, Any]] = [
            {"id": f"r{number}", "when": _when(rng), "use": {}, "enforcement": rng.choice(["enforce"] * 4 + ["shadow"])}
            for number in range(8)
        ]
        rules.append({"id": "rest", "use": {}})
        text = yaml.safe_dump({"version": 1, "metadata": {"name": "t"}, "rules": rules})
        policy = parse(text, "p")
        dead = {finding.rule for finding in lint(text, "p") if finding.code in DEAD}
        claims += len(dead)
        for _ in range(150):
            tripped = frozenset(trip for trip in policy.compiled.trips if rng.random() < 0.5)
            decision = decide(policy, *_step(rng), Load(rng.randint(0, 6), tripped=tripped))
            decided = {decision.rule_id, *decision.shadow, *dict(decision.segment_rules).values()}
            assert not dead & decided, text
    assert claims > 5  # or nothing was tried


@pytest.mark.parametrize(
    ("pattern", "other", "covered"),
    [
        *[("a*", "a", True), ("a*", "ab*", True), ("*", "?", True), ("?", "a", True), ("*b", "a?b", True)],
        *[("a?", "a*", False), ("?", "*", False), ("ab*", "a*", False), ("a[b]", "ab", False), ("a[b]", "a[b]", True)],
    ],
)
def test_patterns_that_cover_others(pattern: str, other: str, covered: bool) -> None:
    assert covers(pattern, other) is covered
