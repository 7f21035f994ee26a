"""Conditions on segments: a rule for parts of an answer, decided before the answer begins."""

from __future__ import annotations

import pytest

from triroute.router.convert.decision import from_decision
from triroute.router.policy import decide, parse
from triroute.router.policy.account import account
from triroute.router.policy.lint import lint
from triroute.router.policy.testing import read_suite, run
from triroute.router.types import (
    Decision,
    Hints,
    Load,
    Message,
    Mode,
    Request,
    Role,
    SegmentKind,
    Step,
    StepKind,
    Variant,
)

HEAD = "version: 1\nmetadata: {name: test}\nhints: {allow: [mode]}\n"
RULES = f"""{HEAD}rules:
  - {{id: busy, when: {{load: {{running: {{gte: 8, resume_at: 6}}}}}}, use: {{mode: autoregressive}}}}
  - id: code-inside
    when: {{segment: code, confidence: {{gte: 0.5}}}}
    use: {{mode: diffusion, block_length: 16}}
  - {{id: seen, when: {{segment: [plan, code]}}, use: {{mode: diffusion}}, enforcement: shadow}}
  - id: call
    when: {{step: tool_call}}
    use: {{mode: self_speculation, segments: {{tool_call: {{mode: autoregressive}}, code: {{mode: autoregressive}}}}}}
  - {{id: rest, use: {{mode: self_speculation}}}}
"""


def _decide(step: StepKind = StepKind.PROSE, confidence: float = 0.9, running: int = 0, hints: Hints | None = None):  # type: ignore[no-untyped-def]
    asked = Request(messages=(Message(Role.USER, "hi"),), hints=hints or Hints())
    policy = parse(RULES, "p")
    return decide(policy, asked, Step(step, confidence), Load(running))


def _parts(decision: Decision) -> dict[str, Mode]:
    return {kind.value: plan.mode for kind, plan in decision.extras.segments}


def test_part_has_its_rule_and_the_answer_its_own() -> None:
    decision = _decide()
    assert (decision.rule_id, decision.plan.mode) == ("rest", Mode.SELF_SPECULATION)
    assert _parts(decision) == {"code": Mode.DIFFUSION}
    assert decision.segment_rules == ((SegmentKind.CODE, "code-inside"),)
    assert decision.shadow == ("seen",)
    sent = from_decision(decision, "id", "")
    assert [(own.rule_id, own.plan.block_length) for own in sent.segments] == [("code-inside", 16)]
    assert sent.passed_over[1].why == "segment is whole, wanted code"


def test_rules_before_it_come_first_for_parts_too() -> None:
    assert _parts(_decide(running=8)) == {}
    assert _parts(_decide(confidence=0.1)) == {}


def test_rule_for_a_part_goes_over_the_plan_that_the_answers_rule_has_for_it() -> None:
    decision = _decide(StepKind.TOOL_CALL)
    assert decision.rule_id == "call"
    assert _parts(decision) == {"tool_call": Mode.AUTOREGRESSIVE, "code": Mode.DIFFUSION}
    assert _parts(_decide(StepKind.TOOL_CALL, 0.1)) == {
        "tool_call": Mode.AUTOREGRESSIVE,
        "code": Mode.AUTOREGRESSIVE,
    }


def test_hints_hold_in_parts() -> None:
    decision = _decide(hints=Hints(mode=Mode.AUTOREGRESSIVE))
    assert _parts(decision) == {"code": Mode.AUTOREGRESSIVE}


def test_what_is_left_of_not() -> None:
    policy = parse(
        f"{HEAD}rules:\n  - {{id: most, when: {{not: {{segment: code}}}}, use: {{mode: autoregressive}}}}\n"
        "  - {id: rest, use: {mode: self_speculation, variant: quadratic}}\n",
        "p",
    )
    decision = decide(policy, Request(), Step(StepKind.CODE, 1.0), Load())
    assert decision.rule_id == "most"
    assert decision.segment_rules == ((SegmentKind.CODE, "rest"),)
    assert dict(decision.extras.segments)[SegmentKind.CODE].variant is Variant.QUADRATIC


def test_account_says_what_the_answer_was() -> None:
    told = account(parse(RULES, "p"), Request(), Step(StepKind.PROSE, 0.9), Load())
    assert told.facts["segment"] == "whole"
    assert told.rules[1].failing == ("segment is whole, wanted code",)


def _codes(rules: str) -> list[tuple[str, str]]:
    return [(finding.code, finding.rule) for finding in lint(f"{HEAD}rules:\n{rules}", "p.yaml")]


REST = "  - {id: rest, use: {mode: autoregressive}}\n"


@pytest.mark.parametrize(
    ("rules", "codes"),
    [
        ("  - {id: a, when: {segment: code}, use: {mode: diffusion}}\n", []),
        (
            "  - {id: a, when: {segment: [code, plan]}, use: {}}\n  - {id: b, when: {segment: code}, use: {}}\n",
            [("shadowed-rule", "b")],
        ),
        (
            "  - {id: a, when: {step: code}, use: {}}\n  - {id: b, when: {step: code, segment: code}, use: {}}\n",
            [("shadowed-rule", "b")],
        ),
        (
            "  - {id: a, when: {step: code, segment: code}, use: {}}\n  - {id: b, when: {step: code}, use: {}}\n",
            [],
        ),
        ("  - {id: a, when: {all: [{segment: code}, {segment: plan}]}, use: {}}\n", [("contradiction", "a")]),
        (
            "  - {id: a, when: {segment: code}, use: {grammar: off, mode: autoregressive}}\n",
            [("nothing-in-a-segment", "a")],
        ),
        ("  - {id: a, when: {segment: tool_call}, use: {mode: diffusion}}\n", [("diffusion-tool-call", "a")]),
        ("  - {id: a, when: {segment: kode}, use: {}}\n", [("unknown-name", "a")]),
    ],
)
def test_lint(rules: str, codes: list[tuple[str, str]]) -> None:
    assert _codes(rules + REST) == codes


def test_cases_reach_rules_of_parts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "p.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "p_test.yaml").write_text(
        """version: 1
cases:
  - {name: prose, step: prose, expect: {rule: rest, segments: {code: {rule: code-inside, mode: diffusion}}}}
  - {name: call, step: {kind: tool_call, confidence: 0.2}, expect: {rule: call, shadow: [seen], segments: {
      code: {rule: call, mode: autoregressive}, tool_call: {rule: call, mode: autoregressive}}}}
  - {name: busy, step: code, load: {running: 8}, expect: {rule: busy, segments: {}}}
""",
        encoding="utf-8",
    )
    suite = read_suite(tmp_path / "p_test.yaml")
    outcome = run(parse(RULES, "p"), suite.tests)
    assert [result.problems for result in outcome.results] == [(), (), ()]
    assert outcome.coverage == 1.0
