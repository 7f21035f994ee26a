"""Errors of the service as OpenAI's: type by status, the reason as code, and fields by their names there."""

from __future__ import annotations

import json

import pytest

from triroute.router.errors import STATUS, InvalidRequest, RateLimited, TrirouteError, Violation
from triroute.router.openai.errors import param_of, problem_of, status_of

TYPES = {400: "invalid_request_error", 404: "invalid_request_error", 409: "invalid_request_error"}
TYPES |= {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


@pytest.mark.parametrize("kind", STATUS)
def test_every_error_has_an_object(kind: type[TrirouteError]) -> None:
    problem = problem_of(kind("what to do"))
    status = STATUS[kind][1]
    told = {"message": "what to do", "type": TYPES[status], "param": None, "code": kind.reason.lower()}
    assert (problem.status, problem.body()) == (status, {"error": told})
    assert json.loads(bytes(problem.response().body)) == {"error": told}


@pytest.mark.parametrize("kind", [one for one in STATUS if one.reason != "INTERNAL"])
def test_the_status_follows_from_the_reason(kind: type[TrirouteError]) -> None:
    assert status_of(kind.reason) == STATUS[kind][1]
    assert status_of("INTERNAL") == 500


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1, "1"), (1_000, "1"), (1_001, "2")])
def test_when_to_come_back(milliseconds: int, seconds: str) -> None:
    headers = problem_of(RateLimited("later", retry_ms=milliseconds)).response({"x-request-id": "r"}).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == (seconds, str(milliseconds))
    assert headers["x-request-id"] == "r"
    assert "retry-after" not in problem_of(RateLimited("never")).response().headers


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("chat.messages", "messages"),
        ("chat.messages[3].content", "messages[3].content"),
        ("chat.messages[3].tool_calls[1].name", "messages[3].tool_calls[1].function.name"),
        ("chat.messages[3].tool_calls[1].arguments_json", "messages[3].tool_calls[1].function.arguments"),
        ("tools", "tools"),
        ("tools[2].name", "tools[2].function.name"),
        ("tools[2].parameters_json", "tools[2].function.parameters"),
        ("tool_choice", "tool_choice"),
        ("tool_choice.kind", "tool_choice"),
        ("tool_choice.name", "tool_choice.function.name"),
        ("response_format.json_schema", "response_format.json_schema.schema"),
        ("response_format.regex", "triroute.regex"),
        ("response_format.lark", "triroute.lark"),
        ("sampling.temperature", "temperature"),
        ("sampling.logit_bias[5]", "logit_bias[5]"),
        ("sampling.stop[0]", "stop[0]"),
        ("sampling.logprobs", "top_logprobs"),
        ("sampling.top_k", "triroute.top_k"),
        ("sampling.top_p", "top_p"),
        ("sampling.min_p", "triroute.min_p"),
        ("sampling.repetition_penalty", "triroute.repetition_penalty"),
        ("hints.block_length", "triroute.block_length"),
        ("session_id", "triroute.session_id"),
        ("tags", "triroute.tags"),
        ("tenant", "triroute.tenant"),
        ("text", "prompt"),
        ("something.new", "something.new"),
    ],
)
def test_fields_by_their_names(field: str, param: str) -> None:
    assert param_of(Violation(field, "is wrong")) == param


def test_the_first_of_several_is_the_param() -> None:
    error = InvalidRequest.of(Violation("sampling.max_tokens", "is over 5"), Violation("tags", "are too many"))
    problem = problem_of(error, lambda param: "max_completion_tokens" if param == "max_tokens" else param)
    assert problem.param == "max_completion_tokens"
    assert problem.message == "max_completion_tokens: is over 5; triroute.tags: are too many"
