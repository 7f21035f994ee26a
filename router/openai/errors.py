"""Errors as OpenAI's clients read them: `{"error": {message, type, param, code}}`, and a status."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from starlette.responses import JSONResponse

from triroute.router.errors import STATUS, TrirouteError, Violation

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_BY_REASON = {kind.reason: status for kind, (_, status) in STATUS.items()}
MOST_TOLD, _LONGEST = 8, 1_000  # violations in a message, and characters of each
_PATHS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), becomes)
    for pattern, becomes in (
        (r"chat\.messages", "messages"),
        (r"(.*\.tool_calls\[\d+\])\.name", r"\1.function.name"),
        (r"(.*\.tool_calls\[\d+\])\.arguments_json", r"\1.function.arguments"),
        (r"(tools\[\d+\])\.parameters_json", r"\1.function.parameters"),
        (r"(tools\[\d+\])\.", r"\1.function."),
        (r"tool_choice\.kind", "tool_choice"),
        (r"tool_choice\.name", "tool_choice.function.name"),
        (r"response_format\.json_schema", "response_format.json_schema.schema"),
        (r"response_format\.", "triroute."),
        (r"sampling\.(?=(top_k|min_p|repetition_penalty)\b)", "triroute."),
        (r"sampling\.logprobs", "top_logprobs"),
        (r"sampling\.", ""),
        (r"hints\.", "triroute."),
        (r"(?=(session_id|tags|tenant|expected_tokens|latency_class|first_token_ms)\b)", "triroute."),
        (r"text$", "prompt"),
    )
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer, or no end of one."""

    status: int
    message: str
    code: str
    param: str | None = None
    retry_ms: int = 0

    def body(self) -> dict[str, Any]:
        """The object that stands for the answer."""
        kind = _TYPES.get(self.status) or ("server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self, headers: Mapping[str, str] = MappingProxyType({})) -> JSONResponse:
        """The answer, with the headers given."""
        again = {"retry-after": str(math.ceil(self.retry_ms / 1000)), "retry-after-ms": str(self.retry_ms)}
        return JSONResponse(self.body(), self.status, {**headers, **(again if self.retry_ms else {})})


class Refused(Exception):
    """A request that gets no answer, and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def problem_of(error: TrirouteError, named: Callable[[str], str] = lambda param: param) -> Problem:
    """An error of a step. `named` says what a parameter is called in its request, where it has two names."""
    status, code = STATUS[type(error)][1], error.reason.lower()
    if not error.violations:
        return Problem(status, error.message, code, retry_ms=error.retry_ms)
    wrong = [(named(param_of(one)), one.description) for one in error.violations]
    return Problem(status, told(wrong[:MOST_TOLD], len(wrong)), code, wrong[0][0], error.retry_ms)


def told(wrong: list[tuple[str, str]], count: int) -> str:
    """Parameters and what is wrong with each, the first of `count`, as a message."""
    words = [f"{param}: {why}" if param else why for param, why in wrong]
    more = [f"and {count - len(wrong)} more"] if count > len(wrong) else []
    return "; ".join([one if len(one) <= _LONGEST else f"{one[:_LONGEST]}…" for one in words] + more)


def param_of(violation: Violation) -> str:
    """Where that stands in OpenAI's request."""
    field = violation.field
    for pattern, becomes in _PATHS:
        field, changed = pattern.subn(becomes, field, count=1) if pattern.match(field) else (field, 0)
        if changed and not field.startswith("messages"):
            break
    return field


def status_of(reason: str) -> int:
    """The status that an error's reason has."""
    return _BY_REASON.get(reason, 500)
