"""Bodies to steps: parsed once, and told apart from what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from triroute.proto import router_pb2
from triroute.router.errors import InvalidRequest
from triroute.router.openai.body import (
    Call,
    CalledFunction,
    ChatBody,
    Format,
    Function,
    NamedSchema,
    OfferedTool,
    StreamOptions,
    TextBody,
    Turn,
    Wishes,
)
from triroute.router.openai.errors import MOST_TOLD, Problem, Refused, told
from triroute.router.openai.fields import OWN
from triroute.router.prompts import build

_MOST_NODES = 200_000  # values in objects and lists; commas in texts count, and no context holds so many
_SHORT, _LONG = 40, 200  # characters of a value and of a key that are repeated
_FORMATS = ("json_schema", "regex", "lark")
_TYPES = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_INSIDE: dict[tuple[str, ...], type[BaseModel]] = {
    ("messages",): Turn,
    ("messages", "tool_calls"): Call,
    ("messages", "tool_calls", "function"): CalledFunction,
    ("tools",): OfferedTool,
    ("tools", "function"): Function,
    ("response_format",): Format,
    ("response_format", "json_schema"): NamedSchema,
    ("stream_options",): StreamOptions,
    ("triroute",): Wishes,
}
_OF_TURNS = {"role", "content", "name", "tool_calls", "tool_call_id"}
_SAME = {"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "logit_bias"}
Body = TypeVar("Body", ChatBody, TextBody)


@dataclass(frozen=True, slots=True)
class Asked:
    """A step, and how its answer is to come. `tokens` is what the request calls the most tokens of the output."""

    message: router_pb2.GenerateRequest
    model: str = ""
    stream: bool = False
    usage: bool = False
    tokens: str = "max_tokens"

    @property
    def is_chat(self) -> bool:
        return self.message.WhichOneof("prompt") == "chat"

    def named(self, param: str) -> str:
        """A parameter as the request has it."""
        if param == "max_tokens":
            return self.tokens
        return "logprobs" if param == "top_logprobs" and not self.is_chat else param


def chat(body: bytes) -> Asked:
    """Of /v1/chat/completions. Raises Refused."""
    given = _parsed(ChatBody, body)
    tokens, name = given.max_tokens, "max_tokens"
    if given.max_completion_tokens is not None:
        if tokens not in (None, given.max_completion_tokens):
            raise _wrong("max_tokens", "differs from max_completion_tokens; send one of them")
        tokens, name = given.max_completion_tokens, "max_completion_tokens"
    if given.top_logprobs is not None and not given.logprobs:
        raise _wrong("top_logprobs", "needs logprobs to be true")
    asked = {
        "messages": [_turn(turn.model_dump(include=_OF_TURNS)) for turn in given.messages],
        "tools": [{"parameters": "", **tool.function.model_dump(exclude_none=True)} for tool in given.tools or []],
        "tool_choice": given.tool_choice,
        "parallel_tool_calls": given.parallel_tool_calls,
        "logprobs": (given.top_logprobs or 0) if given.logprobs else None,
    }
    return _asked(given, asked | _format(given), tokens, name)


def text(body: bytes) -> Asked:
    """Of /v1/completions. Raises Refused."""
    given = _parsed(TextBody, body)
    return _asked(
        given, {"prompt": given.prompt, "raw": True, "logprobs": given.logprobs}, given.max_tokens, "max_tokens"
    )


def _asked(given: ChatBody | TextBody, own: dict[str, Any], tokens: int | None, name: str) -> Asked:
    wishes = (given.triroute or Wishes()).model_dump(mode="json", exclude_none=True)
    if sum(kind in own or kind in wishes for kind in _FORMATS) > 1:
        raise _wrong("triroute", "the output has one format; leave out all but one of response_format, regex and lark")
    same = given.model_dump(include=_SAME)
    try:
        message = build(wishes | same | own | {"max_tokens": tokens}, "the request")
    except InvalidRequest as error:
        raise Refused(Problem(400, error.message, "invalid_request")) from error
    options = given.stream_options
    usage = bool(given.stream and options and options.include_usage)
    return Asked(message, given.model or "", bool(given.stream), usage, name)


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    """As prompts have them."""
    kept = {key: value for key, value in turn.items() if value is not None}
    return kept | {"role": "system"} if turn["role"] == "developer" else kept


def _format(given: ChatBody) -> dict[str, Any]:
    shape = given.response_format
    match shape.type if shape else "text":
        case "json_object":
            return {"json_schema": {"type": "object"}}
        case "json_schema" if shape and shape.json_schema:
            return {"json_schema": shape.json_schema.schema_}
        case "json_schema":
            raise _wrong("response_format.json_schema", "is missing")
    return {}


def _parsed(kind: type[Body], body: bytes) -> Body:
    if sum(map(body.count, (b"{", b"[", b","))) > _MOST_NODES:
        raise Refused(Problem(400, f"the body has over {_MOST_NODES} values", "invalid_request"))
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        wrong = [_told(kind, one) for one in found[:MOST_TOLD]]
        message = told(wrong, len(found))
        raise Refused(Problem(400, message, "invalid_request", wrong[0][0] or None)) from error


def _wrong(param: str, why: str) -> Refused:
    return Refused(Problem(400, f"{param}: {why}", "invalid_request", param))


def _told(body: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """Where, and what to do."""
    where, why = error["loc"], error["msg"]
    match error["type"]:
        case "json_invalid":
            return "", f"the body is not JSON: {error['ctx']['error']}"
        case "model_type" if not where:
            return "", f"the body has to be an object, not {_kind(error['input'])}"
        case "missing":
            return _path(where), "is missing"
        case "extra_forbidden":
            return _path(where), f"unknown key{_meant(body, where)}"
        case "literal_error" | "enum":
            return _path(where), f"{_kind(error['input'])} is not {error['ctx']['expected']}"
        case "too_long":
            return _path(where), f"has over {error['ctx']['max_length']}"
        case own if own in OWN:
            return _path(where), why
        case kind if kind in _TYPES:
            return _path(where), f"expected {_TYPES[kind]}, found {_kind(error['input'])}"
    return _path(where), f"{why.replace('Input should be', 'must be')}, found {_kind(error['input'])}"


def _meant(body: type[BaseModel], where: tuple[int | str, ...]) -> str:
    """The key that may have been meant."""
    *outer, key = (step for step in where if isinstance(step, str))
    within = _INSIDE[tuple(outer)] if outer else body
    known = [field.alias or name for name, field in within.model_fields.items()]
    if not outer and key in Wishes.model_fields:
        return "; it belongs under triroute"
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _kind(value: Any) -> str:
    """What was found, in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)[:_SHORT]
        case str():
            return f"{value!r}" if len(value) <= _SHORT else "that text"
        case list():
            return "a list"
    return "an object"


def _path(where: Sequence[int | str]) -> str:
    """As in `messages[0].content`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:_LONG]}" for step in where)
    return path.removeprefix(".")
