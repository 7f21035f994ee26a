"""What a check tells the caller, and what of it records and traces keep."""

from __future__ import annotations

import json

import pytest

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.convert.request import to_request
from triroute.router.prompts import build
from triroute.router.run import Run
from triroute.router.structured.check import Written, check, unquoted
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
    told = check(request, output, Written(), STOP).told
    assert told.result == router_pb2.Check.RESULT_INVALID
    assert told.problem.startswith(f"{why}:")
    assert unquoted(told).problem == why
    assert SECRET not in str(unquoted(told))


def test_unknown_tool_is_told_without_its_name() -> None:
    tool = {"name": "find", "description": "d", "parameters": {"type": "object"}}
    request = to_request(build({"prompt": "x", "tools": [tool]}, "a step"))
    call = engine_pb2.WrittenCall(name=SECRET, arguments_json="{}")
    told = check(request, "", Written([call]), STOP).told
    assert told.problem == f"is not one of the tools: '{SECRET}'"
    assert SECRET not in str(unquoted(told))


def _written(*calls: tuple[str, str, int], broken: tuple[int, ...] = ()) -> Written:
    return Written([engine_pb2.WrittenCall(name=n, arguments_json=a, first_token=at) for n, a, at in calls], broken)


@pytest.mark.parametrize(
    ("written", "choice", "path", "kept"),
    [
        (_written(("find", "{}", 3)), "auto", None, 0),
        (_written(("find", "{}", 3), broken=(9,)), "auto", "tool_calls", 9),
        (_written(("find", "[]", 9), broken=(3,)), "auto", "tool_calls", 3),
        (_written(("find", "[]", 3), broken=(9,)), "auto", "tool_calls[0].arguments", 3),
        (_written(broken=(0,)), "required", "tool_calls", 0),
        (_written(), "required", "tool_calls", 0),
    ],
)
def test_the_first_thing_that_is_wrong_with_calls(written: Written, choice: str, path: str | None, kept: int) -> None:
    tool = {"name": "find", "parameters": {"type": "object"}}
    request = to_request(build({"prompt": "x", "tools": [tool], "tool_choice": choice}, "a step"))
    checked = check(request, "", written, STOP)
    assert checked.invalid is (path is not None)
    assert checked.told.path == (path or "")
    assert (checked.sound_tokens or 0) == kept


def test_text_that_names_the_tag_is_no_call() -> None:
    tool = {"name": "find", "parameters": {"type": "object"}}
    request = to_request(build({"prompt": "x", "tools": [tool]}, "a step"))
    told = check(request, "Write `<tool_call>` to call.", Written(), STOP).told
    assert told.result == router_pb2.Check.RESULT_UNSPECIFIED


@pytest.mark.parametrize("capture", [Capture.FEATURES, Capture.CONTENT])
def test_records_quote_where_content_is_captured(capture: Capture) -> None:
    message = build({"prompt": "x", "json_schema": {"const": SECRET}}, "a step")
    run = Run(message, to_request(message))
    run.decision = Decision(
        Step(StepKind.PROSE, 1.0), "rule", DecodePlan(Mode.AUTOREGRESSIVE), "revision", extras=Extras(capture=capture)
    )
    told = check(run.request, json.dumps("other"), Written(), STOP).told
    run.finish = router_pb2.Finish(check=told, escalations=[router_pb2.Escalation(check=told)])
    kept = run.record("m", "", {}).finish
    for one in (kept, *kept.escalations):
        assert (SECRET in one.check.problem) is (capture is Capture.CONTENT)
        assert one.check.problem.startswith("const")
    assert SECRET in run.finish.check.problem
