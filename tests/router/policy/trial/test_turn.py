"""A policy on trial beside the active one: what it says is noted, and what goes wrong with it ends there."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest

from triroute.router.errors import HintRefused
from triroute.router.policy import Policy, parse
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.trial import Candidate, Key
from triroute.router.policy.trial import turn as turns
from triroute.router.types import Arm, Decision, Hints, Load, Mode, Request, ShadowDecision, Step, StepKind, Trip

STEP, _IDLE = Step(StepKind.CODE, 0.9), Load()
TEXT = """version: 1
metadata: {name: %s}
%srules:
  - {id: code, when: {step: code}, use: {mode: %s}}
  - {id: rest, use: {}}
"""
STABLE = parse(TEXT % ("stable", "", "autoregressive"), "stable")
NEXT = parse(TEXT % ("next", "", "diffusion"), "next")
SAME = parse(TEXT.replace("id: code", "id: other") % ("same", "", "autoregressive"), "same")
TIGHT = parse(TEXT % ("tight", "limits: {block_length: [2, 4]}\n", "diffusion"), "tight")


def trial(candidate: Policy, percent: float = 0.0, key: Key = Key.SESSION_ID) -> ActivePolicy:
    live = ActivePolicy(STABLE)
    live.put_on_trial(Candidate(candidate.revision, percent, key), candidate, "a test")
    return live


def step(live: ActivePolicy, request: Request, request_id: str = "r", load: Load = _IDLE) -> tuple[Decision, Any]:
    turn = live.turn(request, request_id)
    decision = turn.decide(STEP, load)
    return decision, turn.end(False, 1.0)


def broken(policy: Policy, test: Callable[[Any], bool]) -> Policy:
    """Its first rule's condition is `test`."""
    first, *rest = policy.compiled.rules
    rules = (dataclasses.replace(first, tests=(test,)), *rest)
    return dataclasses.replace(policy, compiled=dataclasses.replace(policy.compiled, rules=rules))


def test_shadow_says_what_it_would_do_and_changes_nothing() -> None:
    live = trial(NEXT)
    decision, shadow = step(live, Request(text="x"))
    assert (decision.rule_id, decision.plan.mode, decision.policy_revision) == (
        "code",
        Mode.AUTOREGRESSIVE,
        STABLE.revision,
    )
    assert decision.arm is Arm.NONE
    assert (shadow.rule_id, shadow.plan.mode, shadow.policy_revision) == ("code", Mode.DIFFUSION, NEXT.revision)
    assert not shadow.agrees
    _, shadow = step(trial(SAME), Request(text="x"))
    assert (shadow.rule_id, shadow.agrees) == ("other", True)
    assert live.trial is not None
    assert dict(live.trial.judge.own.shadow.differ) == {("code", "code"): 1}
    assert live.trial.judge.own.stable.steps == 0  # without a canary there is nothing to judge


def test_refusals_are_compared_as_well() -> None:
    request = Request(text="x", hints=Hints(block_length=16))
    live = trial(TIGHT)
    decision, shadow = step(live, request)
    assert decision.rule_id == "code"
    assert shadow.plan is None
    assert "outside the policy's limits" in shadow.error
    other = ActivePolicy(TIGHT)
    other.put_on_trial(Candidate(STABLE.revision), STABLE, "a test")
    turn = other.turn(request, "r")
    with pytest.raises(HintRefused):
        turn.decide(STEP, Load())
    shadow = turn.end(True, None)
    assert (shadow and shadow.rule_id, shadow and shadow.agrees) == ("code", False)
    assert other.trial is not None
    assert dict(other.trial.judge.own.shadow.differ) == {("(refused)", "code"): 1}


def test_shadow_that_breaks_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    live = trial(broken(NEXT, lambda values: 1 / 0 > 0))
    for _ in range(3):
        decision, shadow = step(live, Request(text="x"))
        assert decision.rule_id == "code"
        assert isinstance(shadow, ShadowDecision)
        assert shadow.error == "failed by a bug: ZeroDivisionError"
    assert live.trial is not None
    assert live.trial.judge.own.shadow.failed == 3
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]


def test_bug_in_the_candidates_switches_is_no_matter_either(caplog: pytest.LogCaptureFixture) -> None:
    trips = (Trip("nothing", 1, True, 0),)
    live = trial(dataclasses.replace(NEXT, compiled=dataclasses.replace(NEXT.compiled, trips=trips)))
    decision, shadow = step(live, Request(text="x"))
    assert (decision.rule_id, shadow.rule_id) == ("code", "code")
    assert live.trial is not None
    assert live.trial.judge.own.shadow.failed == 1
    assert len(caplog.records) == 1


def test_slow_shadow_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked, found slow, and left out until it has rested a hundred times as long."""
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    live = trial(broken(NEXT, clock.slow))
    assert [step(live, Request(text="x"))[1] is None for _ in range(3)] == [False, True, True]
    clock.now += 0.99
    assert step(live, Request(text="x"))[1] is None
    clock.now += 0.02
    assert step(live, Request(text="x"))[1] is not None
    assert live.trial is not None
    counts = live.trial.judge.own.shadow
    assert (counts.slow, counts.skipped, counts.differ.total() + counts.agree.total()) == (2, 3, 2)


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No policy is slow, whatever the machine does beside it."""
    monkeypatch.setattr(turns, "time", Clock())


class Clock:
    """A time that passes only while a policy thinks."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    thread_time = monotonic

    def slow(self, values: object) -> bool:
        self.now += 0.01
        return True


def test_session_keeps_its_side_and_request_is_on_its_own() -> None:
    live = trial(NEXT, 30)
    sides = {
        name: {step(live, Request(text="x", session_id=name), str(n))[0].arm for n in range(5)} for name in "abcdefgh"
    }
    assert all(len(side) == 1 for side in sides.values())
    assert set.union(*sides.values()) == {Arm.STABLE, Arm.CANARY}
    alone = [step(live, Request(text="x"), str(n))[0].arm for n in range(200)]
    assert 30 < alone.count(Arm.CANARY) < 90
    tenants = trial(NEXT, 50, Key.TENANT)
    assert len({step(tenants, Request(text="x", tenant="t", session_id=str(n)), str(n))[0].arm for n in range(20)}) == 1
    for n in range(50):
        assert live.decide(Request(text=str(n)), STEP, Load()).arm is Arm.STABLE  # only asked, and nobody's


def test_each_arm_carries_its_policy() -> None:
    live = trial(NEXT, 50)
    for number in range(50):
        decision, shadow = step(live, Request(text="x"), str(number))
        canary = decision.arm is Arm.CANARY
        assert decision.policy_revision == (NEXT if canary else STABLE).revision
        assert shadow.policy_revision == (STABLE if canary else NEXT).revision
    assert live.trial is not None
    counted = live.trial.judge.own
    assert (counted.canary.steps + counted.stable.steps, counted.canary.failed) == (50, 0)
    assert min(counted.canary.steps, counted.stable.steps) > 10


def test_candidate_that_breaks_is_replaced_and_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    live = trial(broken(NEXT, lambda values: 1 / 0 > 0), 100)
    decision, shadow = step(live, Request(text="x"))
    assert (decision.policy_revision, decision.arm, shadow) == (STABLE.revision, Arm.STABLE, None)
    assert live.trial is not None
    assert (live.trial.judge.own.canary.failed, live.trial.judge.own.stable.steps) == (1, 0)
    assert len(caplog.records) == 1


def test_more_percent_goes_on_with_what_was_measured() -> None:
    live = trial(NEXT, 50)
    for number in range(20):
        step(live, Request(text="x"), str(number))
    before = live.trial
    assert before is not None
    live.put_on_trial(dataclasses.replace(before.candidate, percent=100), NEXT, "a test")
    assert live.trial is before
    assert step(live, Request(text="x"))[0].arm is Arm.CANARY
    assert before.judge.own.canary.steps + before.judge.own.stable.steps == 21


def test_switches_of_the_candidate_are_its_own() -> None:
    switched = "{id: calm, when: {load: {running: {lt: 4, resume_at: 2}}}, use: {mode: diffusion}}"
    text = f"version: 1\nmetadata: {{name: s}}\nrules:\n  - {switched}\n  - {{id: rest, use: {{}}}}"
    live = trial(parse(text, "s"), 0)
    rules = [step(live, Request(text="x"), load=Load(running))[1].rule_id for running in (1, 4, 3, 2)]
    assert rules == ["calm", "rest", "rest", "calm"]
