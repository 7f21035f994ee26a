"""Test files: what passes, what fails and says why, and what is no test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from triroute.router.errors import InvalidPolicy
from triroute.router.policy import parse
from triroute.router.policy.testing import Outcome, read_suite, run

POLICY = parse(
    """
version: 1
metadata: {name: t}
limits: {block_length: [2, 8]}
hints: {allow: [mode]}
rules:
  - {id: noted, when: {step: code}, use: {}, enforcement: shadow}
  - {id: calls, when: {step: tool_call, confidence: {gte: 0.8}}, use: {mode: self_speculation, block_length: 16}}
  - {id: rest, use: {mode: diffusion, confidence_threshold: 0.9}}
""",
    "p",
)


def _outcome(tmp_path: Path, *cases: dict[str, Any]) -> Outcome:
    path = tmp_path / "p_test.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "cases": list(cases)}, sort_keys=False))
    return run(POLICY, read_suite(path).tests)


@pytest.mark.parametrize(
    ("case", "problems"),
    [
        ({"step": "tool_call", "expect": {"rule": "calls", "clamps": {"block_length": 8}, "block_length": 8}}, ()),
        ({"step": "code", "expect": {"rule": "rest", "shadow": ["noted"], "variant": None}}, ()),
        ({"step": "prose", "expect": {"clamps": {}, "confidence_threshold": 0.9, "audit": "best_effort"}}, ()),
        (
            {"step": {"kind": "tool_call", "confidence": 0.7}, "expect": {"rule": "calls", "mode": "diffusion"}},
            ("rule is rest, expected calls: confidence is 0.7, wanted at least 0.8",),
        ),
        ({"step": "plan", "expect": {"rule": "nobody"}}, ("rule is rest, expected nobody",)),
        ({"request": {"prompt": "Write a function."}, "expect": {"step": "code"}}, ()),
        ({"request": {"prompt": "x", "mode": "autoregressive"}, "expect": {"followed": ["mode"]}}, ()),
        ({"request": {"prompt": "x", "max_steps": 3}, "expect": {"ignored": ["max_steps"]}}, ()),
        ({"request": {"block_length": 9}, "expect": {"refused": "use 2 to 8"}}, ()),
        (
            {"request": {"block_length": 9}, "expect": {"rule": "rest"}},
            ("refused: hints.block_length: 9 is outside the policy's limits; use 2 to 8",),
        ),
        ({"step": "plan", "expect": {"refused": "no"}}, ("refused is nothing, expected no",)),
    ],
)
def test_case(tmp_path: Path, case: dict[str, Any], problems: tuple[str, ...]) -> None:
    (result,) = _outcome(tmp_path, {"name": "it", **case}).results
    assert result.problems == problems


def test_table_rows_go_over_the_case(tmp_path: Path) -> None:
    case = {
        "name": "it",
        "step": "prose",
        "request": {"prompt": "x", "tags": ["a"]},
        "expect": {"rule": "rest"},
        "table": [{}, {"name": "calls", "step": "tool_call", "request": {"tags": ["b"]}, "expect": {"rule": "calls"}}],
    }
    outcome = _outcome(tmp_path, case)
    assert [(result.test.name, result.problems) for result in outcome.results] == [("it: row 1", ()), ("it: calls", ())]
    assert list(outcome.results[1].test.message.tags) == ["b"]
    assert outcome.results[1].test.message.chat.messages[0].content == "x"
    assert (outcome.reached, outcome.coverage) == ({"rest", "calls"}, 2 / 3)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("version: 1\ncases: []\nextra: 1", "t_test.yaml:3:1: extra: unknown key 'extra'"),
        ("version: 1\ncases:\n- {name: a, step: cod, expect: {rule: x}}", "3:19: cases.step: 'cod' is not one of"),
        ("version: 1\ncases:\n- {name: a, expect: {rule: x}}", "3:3: cases: names neither a request nor a step"),
        ("version: 1\ncases:\n- {name: a, step: code}", "3:3: cases: has no `expect`"),
        ("version: 1\ncases:\n- {name: a, step: code, expect: {}}", "3:33: .*expects nothing"),
        ("version: 1\ncases:\n- {name: a, step: code, expect: {rul: x}}", "3:34: .*did you mean 'rule'"),
        (
            "version: 1\ncases:\n- {name: a, request: {promp: x}, expect: {rule: x}}",
            "3:3: case 'a': unknown key 'promp'; did you mean 'prompt'",
        ),
        (
            "version: 1\ncases:\n- {name: a, request: {tools: [{}]}, expect: {rule: x}}",
            "3:3: case 'a': 'name' is missing",
        ),
        ("version: [", "2:1|1:11: not valid YAML"),
    ],
)
def test_mistakes_have_a_place(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "t_test.yaml"
    path.write_text(text)
    with pytest.raises(InvalidPolicy, match=error):
        read_suite(path)
