"""What a check tells the caller, and what of it records and traces keep."""

from __future__ import annotations

import json

import pytest

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.convert.request import to_request
from triroute.router.prompts import build
from triroute.router.run import Run
from triroute.router.structured.check import check, unquoted
from triroute.router.types import Capture, Decision, DecodePlan, Extras, Mode, Step, StepKind

SECRET = "zanzibar"
STOP = decoding_pb2.FINISH_REASON_STOP
SCHEMAS = [
    ({"const": SECRET}, '"other"', "const"),
    ({"enum": [SECRET, 1]}, "2", "enum"),
    ({"type": "string", "pattern": f"^{SECRET}$"}, f'"a {SECRET}"', "pattern"),
    ({"type": "object", "required": [SECRET]}, "{}", "required"),
    ({"type": "object"}, f'{{"{SECRET}": ', "is not JSON"),
]


@pytest.mark.parametrize(("schema", "output", "why"), SCHEMAS, ids=lambda case: str(case)[:20])
def test_quotes_go_to_the_caller_alone(schema: dict[str, object], output: str, why: str) -> None:
    request = to_request(build({"prompt": "x", "json_schema": schema}, "a step"))
    told = check(request, output, [], STOP).told
    assert told.result == router_pb2.Check.RESULT_INVALID
    assert told.problem.startswith(f"{why}:")
    assert unquoted(told).problem == why
    assert SECRET not in str(unquoted(told))


def test_unknown_tool_is_told_without_its_name() -> None:
    tool = {"name": "find", "description": "d", "parameters": {"type": "object"}}
    request = to_request(build({"prompt": "x", "tools": [tool]}, "a step"))
    call = engine_pb2.WrittenCall(name=SECRET, arguments_json="{}")
    told = check(request, "", [call], STOP).told
    assert told.problem == f"is not one of the tools: '{SECRET}'"
    assert SECRET not in str(unquoted(told))


@pytest.mark.parametrize("capture", [Capture.FEATURES, Capture.CONTENT])
def test_records_quote_where_content_is_captured(capture: Capture) -> None:
    message = build({"prompt": "x", "json_schema": {"const": SECRET}}, "a step")
    run = Run(message, to_request(message))
    run.decision = Decision(
        Step(StepKind.PROSE, 1.0), "rule", DecodePlan(Mode.AUTOREGRESSIVE), "revision", extras=Extras(capture=capture)
    )
    told = check(run.request, json.dumps("other"), [], STOP).told
    run.finish = router_pb2.Finish(check=told, escalations=[router_pb2.Escalation(check=told)])
    kept = run.record("m", "", {}).finish
    for one in (kept, *kept.escalations):
        assert (SECRET in one.check.problem) is (capture is Capture.CONTENT)
        assert one.check.problem.startswith("const")
    assert SECRET in run.finish.check.problem
