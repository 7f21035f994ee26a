"""First match wins, within the limits, and every decision explains itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.errors import HintRefused
from triroute.router.policy import DEFAULT, decide, load, parse
from triroute.router.policy.plan import effective
from triroute.router.types import (
    Clamp,
    DecodePlan,
    HintOutcome,
    Hints,
    Load,
    Message,
    Mode,
    Request,
    Role,
    Sampling,
    Step,
    StepKind,
    Variant,
)

POLICY = load(DEFAULT)
ASK = (Message(Role.USER, "hi"),)

RULES = """
version: 1
metadata: {name: test}
limits: {block_length: [2, 8], max_steps: [1, 4], confidence_threshold: [0.5, 0.9]}
hints: {allow: [block_length, mode]}
rules:
  - {id: noted, when: {step: code}, use: {mode: autoregressive}, enforcement: shadow}
  - {id: sure, when: {step: code, confidence: {gte: 0.8}}, use: {mode: diffusion, block_length: 99, max_steps: 9}}
  - {id: busy, when: {load: {running: {gt: 3}}}, use: {mode: autoregressive}}
  - {id: tagged, when: {tags: {all: [a, b], none: [c]}}, use: {mode: diffusion}}
  - {id: rest, use: {mode: self_speculation, block_length: auto}}
"""


def _decide(step: StepKind = StepKind.PROSE, confidence: float = 0.9, load: Load | None = None, **request: object):  # type: ignore[no-untyped-def]
    asked = Request(messages=ASK, **request)  # type: ignore[arg-type]
    return decide(parse(RULES, "p"), asked, Step(step, confidence), load or Load())


def test_rules_passed_over_say_why() -> None:
    decision = _decide(StepKind.CODE, 0.7)
    assert decision.rule_id == "rest"
    assert [(rule.rule_id, rule.why) for rule in decision.passed_over] == [
        ("noted", "shadow: noted, not enforced"),
        ("sure", "confidence is 0.7, wanted at least 0.8"),
        ("busy", "load.running is 0, wanted more than 3"),
        ("tagged", "tags are none, wanted all of a, b"),
    ]
    assert decision.shadow == ("noted",)
    assert (decision.plan.mode, decision.plan.variant, decision.plan.block_length) == (
        Mode.SELF_SPECULATION,
        Variant.LINEAR,
        0,
    )


def test_clamps() -> None:
    decision = _decide(StepKind.CODE)
    assert decision.rule_id == "sure"
    assert decision.clamps == (Clamp("block_length", 99, 8), Clamp("max_steps", 9, 4))
    assert decision.plan.variant is None


def test_load_and_tags() -> None:
    assert _decide(load=Load(running=4)).rule_id == "busy"
    assert _decide(tags=frozenset("ab")).rule_id == "tagged"
    assert _decide(tags=frozenset("abc")).rule_id == "rest"


def test_hints() -> None:
    decision = _decide(hints=Hints(mode=Mode.AUTOREGRESSIVE, block_length=4, max_steps=2, variant=Variant.LINEAR))
    assert (decision.plan.mode, decision.plan.block_length, decision.plan.variant) == (Mode.AUTOREGRESSIVE, 4, None)
    assert decision.hints == (
        HintOutcome("mode", True, "allowed by the policy"),
        HintOutcome("variant", False, "the policy does not allow this hint"),
        HintOutcome("block_length", True, "allowed by the policy"),
        HintOutcome("max_steps", False, "the policy does not allow this hint"),
    )


def test_step_hint() -> None:
    asked = Request(messages=ASK, hints=Hints(step=StepKind.TOOL_CALL))
    decision = decide(POLICY, asked, Step(StepKind.PROSE, 0.9), Load())
    assert (decision.step.kind, decision.step.confidence, decision.rule_id) == (StepKind.TOOL_CALL, 1.0, "tool-call")


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        (Hints(block_length=9), "hints.block_length: 9 is outside the policy's limits; use 2 to 8"),
        (Hints(block_length=1), "use 2 to 8"),
        (Hints(confidence_threshold=math.nan), "use 0.5 to 0.9"),
        (Hints(max_steps=5), "hints.max_steps"),
    ],
)
def test_hints_outside_the_limits(hints: Hints, message: str) -> None:
    with pytest.raises(HintRefused, match=message) as caught:
        _decide(hints=hints)
    assert caught.value.violations[0].field.startswith("hints.")


@given(
    step=st.sampled_from(StepKind),
    confidence=st.floats(0, 1),
    running=st.integers(0, 100),
    tags=st.frozensets(st.sampled_from(["draft", "a"])),
    tokens=st.integers(1, 1000),
)
def test_always_decides_within_the_limits(
    step: StepKind, confidence: float, running: int, tags: frozenset[str], tokens: int
) -> None:
    asked = Request(messages=ASK, tags=tags, sampling=Sampling(tokens))
    decision = decide(POLICY, asked, Step(step, confidence), Load(running))
    limits = POLICY.file.limits
    assert (
        decision.plan.block_length == 0
        or limits.block_length[0] <= decision.plan.block_length <= limits.block_length[1]
    )
    assert limits.max_steps[0] <= decision.plan.max_steps <= limits.max_steps[1]
    assert decision.policy_revision == POLICY.revision
    rules = [rule.id for rule in POLICY.file.rules]
    assert [over.rule_id for over in decision.passed_over] == rules[: rules.index(decision.rule_id)]


@given(
    plan=st.builds(
        DecodePlan,
        mode=st.sampled_from(Mode),
        variant=st.sampled_from(Variant),
        block_length=st.integers(0, 3),
        max_steps=st.integers(1, 3),
        draft_threshold=st.sampled_from([0.0, 0.5]),
        fixed_steps=st.integers(0, 2),
    )
)
def test_effective_plans(plan: DecodePlan) -> None:
    kept = effective(plan)
    assert effective(kept) == kept
    assert (kept.mode, kept.variant) == (plan.mode, plan.variant)
    if plan.mode is not Mode.AUTOREGRESSIVE:
        assert kept.block_length == plan.block_length
    if plan.mode is not Mode.DIFFUSION:
        assert kept.fixed_steps == 0
