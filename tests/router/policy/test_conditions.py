"""Each condition of the vocabulary: where it holds, where it does not, and what it says then."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from triroute.router.errors import InvalidPolicy
from triroute.router.policy import Latches, decide, parse
from triroute.router.types import (
    Hints,
    LatencyClass,
    Load,
    Message,
    Mode,
    Request,
    ResponseFormat,
    Role,
    Step,
    StepKind,
    Tool,
    ToolCall,
    Verification,
)

USER, ASSISTANT, TOOL = Role.USER, Role.ASSISTANT, Role.TOOL
CALLING = Message(ASSISTANT, "", (ToolCall("c", "f", "{}"),))


def _policy(when: dict[str, Any]) -> str:
    rules = [{"id": "it", "when": when, "use": {}}, {"id": "rest", "use": {}}]
    return yaml.safe_dump({"version": 1, "metadata": {"name": "t"}, "rules": rules})


def _why(when: dict[str, Any], load: Load | None = None, **fields: Any) -> str:
    """Why the conditions do not hold; empty where they do."""
    asked = Request(**{"messages": (Message(USER, "hello"),), **fields})
    decision = decide(parse(_policy(when), "p"), asked, Step(StepKind.CODE, 0.7), load or Load())
    return decision.passed_over[0].why if decision.passed_over else ""


def _result(content: str) -> tuple[Message, ...]:
    return (Message(USER, "go"), CALLING, Message(TOOL, content, tool_call_id="c"))


@pytest.mark.parametrize(
    ("when", "fields", "why"),
    [
        ({"tool": "get_*"}, {"tools": (Tool("put_x"), Tool("get_x"))}, ""),
        ({"tool": "get_*"}, {"tools": (Tool("put_x"),)}, "tools are put_x, wanted any of get_*"),
        ({"tool": ["a", "b"]}, {"tools": (Tool("b"),)}, ""),
        ({"tool": "a[b]"}, {"tools": (Tool("ab"),)}, "tools are ab, wanted any of a[b]"),
        ({"tool_choice": ["none", "auto"]}, {}, ""),
        ({"prompt_characters": {"gt": 5}}, {}, "prompt_characters is 5, wanted more than 5"),
        ({"prompt_characters": {"gte": 5}}, {}, ""),
        ({"expected_tokens": {"lt": 9}}, {}, "expected_tokens is not given, wanted less than 9"),
        ({"expected_tokens": {"lt": 9}}, {"expected_tokens": 8}, ""),
        ({"turn": {"messages": {"gte": 3}, "tool_loop": {"gte": 1}}}, {"messages": _result("{}")}, ""),
        ({"turn": {"tool_loop": {"gte": 1}}}, {}, "turn.tool_loop is 0, wanted at least 1"),
        ({"turn": {"last_tool_failed": True}}, {"messages": _result('{"x": 1, "error": "no"}')}, ""),
        ({"turn": {"last_tool_failed": True}}, {"messages": _result('{"success": false}')}, ""),
        ({"turn": {"last_tool_failed": True}}, {"messages": _result("Error: no such file")}, ""),
        ({"turn": {"last_tool_failed": False}}, {"messages": _result('{"error": null, "ok": true}')}, ""),
        ({"turn": {"last_tool_failed": False}}, {"messages": _result("errors are few")}, ""),
        ({"tenant": ["acme", "beta-*"]}, {"tenant": "beta-2"}, ""),
        ({"tenant": "*"}, {}, "tenant is none, wanted any of *"),
        ({"hints": {"any": ["mode"]}}, {"hints": Hints(mode=Mode.DIFFUSION)}, ""),
        ({"hints": {"none": ["mode"]}}, {"hints": Hints(mode=Mode.DIFFUSION)}, "hints are mode, wanted none of mode"),
        ({"latency": {"class": ["interactive", "batch"]}}, {"latency_class": LatencyClass.BATCH}, ""),
        ({"latency": {"class": "batch"}}, {}, "latency.class is not given, wanted batch"),
        ({"latency": {"first_token_ms": {"lte": 200}}}, {"first_token_ms": 201}, "is 201, wanted at most 200"),
        ({"schema": False}, {"response_format": ResponseFormat()}, ""),
        ({"any": [{"step": "plan"}, {"confidence": {"gt": 0.6}}]}, {}, ""),
        (
            {"any": [{"step": "plan"}, {"session": True}]},
            {},
            "none of any: step is code, wanted plan; session is false, wanted true",
        ),
        ({"all": [{"step": "code"}, {"tools": True}]}, {}, "tools is false, wanted true"),
        ({"not": {"step": "plan", "tools": False}}, {}, ""),
        ({"not": {"step": "code", "tools": False}}, {}, "not: holds, with step code, tools false"),
        ({"not": {"any": [{"not": {"step": "code"}}]}}, {}, ""),
    ],
)
def test_condition(when: dict[str, Any], fields: dict[str, Any], why: str) -> None:
    found = _why(when, **fields)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("when", "fields", "why"),
    [
        ({"tenant": ["acme", "b*"]}, {"tenant": "zebulon"}, "tenant is not any of acme, b*"),
        ({"tags": {"all": ["x", "y"]}}, {"tags": frozenset({"zebulon", "x"})}, "tags are not all of x, y"),
        ({"tags": {"none": ["x", "y"]}}, {"tags": frozenset({"zebulon", "x"})}, "tags are some of x, y"),
        ({"tool": "get_*"}, {"tools": (Tool("zebulon"),)}, "tools are not any of get_*"),
        ({"max_tokens": {"gte": 5, "lt": 9}}, {}, "max_tokens is not at least 5 and less than 9"),
        ({"latency": {"class": ["batch", "standard"]}}, {}, "latency.class is not batch or standard"),
        ({"step": "plan"}, {}, "step is code, wanted plan"),
        ({"load": {"running": {"gt": 5}}}, {}, "load.running is 0, wanted more than 5"),
        ({"not": {"step": "code", "tenant": "z*"}}, {"tenant": "zebulon"}, "not: holds, with step code"),
        ({"not": {"tenant": "z*"}}, {"tenant": "zebulon"}, "not: holds"),
        (
            {"any": [{"tenant": "a"}, {"all": [{"step": "code"}, {"tags": {"any": ["x"]}}]}]},
            {"tenant": "zebulon", "tags": frozenset({"zebulon"})},
            "none of any: tenant is not any of a; tags are not any of x",
        ),
    ],
)
def test_unquoted(when: dict[str, Any], fields: dict[str, Any], why: str) -> None:
    asked = Request(**{"messages": (Message(USER, "hello"),), **fields})
    decision = decide(parse(_policy(when), "p"), asked, Step(StepKind.CODE, 0.7), Load())
    assert [over.why for over in decision.passed_over_unquoted] == [why]
    assert ("zebulon" in decision.passed_over[0].why) == ("zebulon" in str(fields))


@pytest.mark.parametrize(
    ("bounds", "loads", "holds"),
    [
        ({"lt": 8}, [7, 8, 7], [True, False, True]),
        ({"lt": 8, "resume_at": 6}, [7, 8, 7, 6, 7], [True, False, False, True, True]),
        ({"lte": 8, "resume_at": 6}, [8, 9, 8, 6], [True, False, False, True]),
        ({"gte": 8, "resume_at": 6}, [7, 8, 7, 6, 7], [False, True, True, False, False]),
        ({"gt": 8, "resume_at": 6}, [8, 9, 8, 6], [False, True, True, False]),
    ],
)
def test_hysteresis(bounds: dict[str, float], loads: list[int], holds: list[bool]) -> None:
    policy, latches = parse(_policy({"load": {"running": bounds}}), "p"), Latches()
    seen = (latches.see(Load(running), policy.compiled.trips) for running in loads)
    asked = Request((Message(USER, "hello"),))
    assert [decide(policy, asked, Step(StepKind.CODE, 1), load).rule_id == "it" for load in seen] == holds


def test_hysteresis_says_why() -> None:
    bounds = {"load": {"running": {"lt": 8, "resume_at": 6}}}
    assert _why(bounds, Load(8)) == "load.running is 8, wanted less than 8, or at most 6 after that"


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ({}, "says nothing"),
        ({"any": []}, "at least 1 in the list"),
        ({"any": [{"stepp": "code"}]}, "p:8:7: rules.when.any.stepp: unknown key 'stepp'; did you mean 'step'"),
        ({"not": {"turn": {"tool_lop": {"gt": 1}}}}, "unknown key 'tool_lop'; did you mean 'tool_loop'"),
        ({"latency": {"class": "interactiv"}}, "did you mean 'interactive'"),
        ({"hints": {"any": ["mod"]}}, "did you mean 'mode'"),
        ({"load": {"running": {"lt": 8, "resume_at": 8}}}, "resume_at must be under the bound"),
        ({"load": {"running": {"lt": 8, "gt": 2, "resume_at": 1}}}, "exactly one of"),
        ({"confidence": {"lt": 0.5, "resume_at": 0.4}}, "unknown key 'resume_at'"),
        ({"tool": ""}, "at least 1 character"),
    ],
)
def test_mistakes(when: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidPolicy, match=error):
        parse(_policy(when), "p")


def test_beyond_the_decoder_is_carried() -> None:
    text = """
version: 1
metadata: {name: t}
defaults: &shared {mode: self_speculation, variant: quadratic, capture: none}
limits: {block_length: [1, 16]}
rules:
  - id: it
    use:
      <<: *shared
      grammar: off
      audit: required
      escalation: {on: [invalid_output]}
      segments:
        code: {block_length: 32}
        thinking: {mode: autoregressive}
        plan: {variant: linear, mode: self_speculation}
"""
    decision = decide(parse(text, "p"), Request(text="x"), Step(StepKind.CODE, 1), Load())
    extras = decision.extras
    assert (extras.grammar, extras.capture, extras.audit) == ("off", "none", "required")
    assert decision.plan.verification is Verification.EXACT
    assert extras.escalation == (("invalid_output",), Mode.AUTOREGRESSIVE, 1)
    plans = {kind.value: (plan.mode.value, plan.block_length, plan.variant) for kind, plan in extras.segments}
    assert plans == {
        "code": ("self_speculation", 16, "quadratic"),
        "thinking": ("autoregressive", 0, None),
        "plan": ("self_speculation", 0, "linear"),
    }
