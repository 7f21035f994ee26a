"""Prompts from options and JSON lines to requests: one spelling of every key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from google.protobuf import json_format

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.errors import InvalidRequest
from triroute.router.policy.vocabulary import HintName

_HINTS = get_args(HintName)
_SAMPLING = (
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "logprobs"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias"),
)
_OTHERS = (
    *("id", "prompt", "messages", "system", "raw", "tools", "tool_choice", "parallel_tool_calls"),
    *("json_schema", "regex", "lark"),
)
_LABELS = ("session_id", "tags", "tenant", "expected_tokens", "latency_class", "first_token_ms")
KEYS = (*_OTHERS, *_HINTS, *_SAMPLING, *_LABELS)
_KINDS = dict.fromkeys(("prompt", "system", "session_id", "tenant", "latency_class", "step", "mode"), str) | {
    "messages": list,
    "tools": list,
    "tags": list,
    "draft_sources": list,
    "raw": bool,
    "parallel_tool_calls": bool,
}
_WORDS = {str: "text", list: "a list", bool: "true or false"}
_ENUMS = {"mode": "MODE", "variant": "VARIANT", "verification": "VERIFICATION", "step": "STEP_KIND"}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file. Raises InvalidRequest, with FILE:LINE."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: can't be read: {error}") from error
    asked = [_line(text, f"{path}:{number}") for number, text in enumerate(lines, start=1) if text.strip()]
    if not asked:
        raise InvalidRequest(f"{path}: holds no step; write one JSON object a line")
    return asked


def build(asked: Mapping[str, Any], where: str) -> router_pb2.GenerateRequest:
    """A request from keys and values. Raises InvalidRequest that begins with `where`."""
    try:
        return json_format.ParseDict(_as_proto(asked), router_pb2.GenerateRequest())
    except (json_format.ParseError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"{where}: {_plain(error)}") from error


def _line(text: str, where: str) -> dict[str, Any]:
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{where}: not JSON: {error}") from error
    check_keys(asked, where)
    build(asked, where)
    return asked  # type: ignore[no-any-return]  # check_keys has looked


def check_keys(asked: Any, where: str) -> None:
    """Raises InvalidRequest, which begins with `where`, unless it is an object with known keys and one prompt."""
    if not isinstance(asked, dict):
        raise InvalidRequest(f"{where}: expected an object, found {type(asked).__name__}")
    for key in asked:
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(KEYS)}"
            raise InvalidRequest(f"{where}: unknown key {key!r}{meant}")
        wanted = _KINDS.get(key)
        if wanted is not None and asked[key] is not None and not isinstance(asked[key], wanted):
            raise InvalidRequest(f"{where}: {key}: expected {_WORDS[wanted]}, found {type(asked[key]).__name__}")
    if ("prompt" in asked) == ("messages" in asked):
        raise InvalidRequest(f"{where}: give either prompt or messages")


def _as_proto(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The request as protobuf's JSON form."""
    request: dict[str, Any] = _prompt(asked)
    request["tools"] = [_tool(_object(tool, "tools")) for tool in asked.get("tools") or []]
    if asked.get("tool_choice") is not None:
        request["toolChoice"] = _choice(asked["tool_choice"])
    if asked.get("parallel_tool_calls") is False:
        request["toolChoice"] = {**request.get("toolChoice", {}), "oneCall": True}
    for kind in ("json_schema", "regex", "lark"):
        if asked.get(kind) is not None:
            source = asked[kind]
            request["responseFormat"] = {kind: source if isinstance(source, str) else json.dumps(source)}
    request["sampling"] = {key: asked[key] for key in _SAMPLING if asked.get(key) is not None}
    request["hints"] = {key: _hint(key, asked[key]) for key in _HINTS if asked.get(key) is not None}
    labels = {key: asked[key] for key in _LABELS if asked.get(key) is not None}
    if "latency_class" in labels:
        labels["latency_class"] = _enum(router_pb2.LatencyClass.keys(), "LATENCY_CLASS", labels["latency_class"])
    return request | labels


def _prompt(asked: Mapping[str, Any]) -> dict[str, Any]:
    if asked.get("raw"):
        return {"text": asked["prompt"]}
    messages = [_message(_object(turn, "messages")) for turn in asked.get("messages") or []]
    if asked.get("system"):
        messages.insert(0, {"role": "ROLE_SYSTEM", "content": asked["system"]})
    if "prompt" in asked:
        messages.append({"role": "ROLE_USER", "content": asked["prompt"]})
    return {"chat": {"messages": messages}}


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    """One turn in the shape that OpenAI's API made common."""
    calls = [
        {
            "id": call.get("id", ""),
            "name": call["function"]["name"],
            "argumentsJson": _text(call["function"].get("arguments", "{}")),
        }
        for call in (_object(call, "tool_calls") for call in turn.get("tool_calls") or [])
    ]
    return {
        "role": _enum(chat_pb2.Role.keys(), "ROLE", turn["role"]),
        "content": turn.get("content") or "",
        "toolCalls": calls,
        "toolCallId": turn.get("tool_call_id", ""),
        "name": turn.get("name", ""),
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = _object(tool.get("function", tool), "tools: function")
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "parametersJson": _text(function.get("parameters", {})),
        "strict": function.get("strict"),
    }


def _choice(choice: str | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(choice, str):
        return {"kind": _enum(chat_pb2.ToolChoice.Kind.keys(), "KIND", choice)}
    return {"kind": "KIND_NAMED", "name": _object(choice, "tool_choice")["function"]["name"]}


def _hint(key: str, value: Any) -> Any:
    if key == "block_length" and value == "auto":
        return 0
    if key == "draft_sources":
        return [_enum(decoding_pb2.DraftSource.keys(), "DRAFT_SOURCE", source) for source in value]
    if key not in _ENUMS:
        return value
    enums = {"mode": decoding_pb2.Mode, "variant": decoding_pb2.Variant, "verification": decoding_pb2.Verification}
    return _enum(enums.get(key, router_pb2.StepKind).keys(), _ENUMS[key], value)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    """Raises ValueError for what is none."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, found {type(value).__name__}")
    return value


def _enum(names: list[str], prefix: str, word: str) -> str:
    if not isinstance(word, str):
        raise ValueError(f"{prefix.lower()}: expected a word, found {type(word).__name__}")
    name = f"{prefix}_{word.upper()}"
    if name not in names or word.upper() == "UNSPECIFIED":
        known = [n.removeprefix(f"{prefix}_").lower() for n in names if not n.endswith("UNSPECIFIED")]
        raise ValueError(f"{prefix.lower()} {word!r} is unknown; known are {', '.join(known)}")
    return name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    words = str(error)
    while (shorter := words.removeprefix("Failed to parse ")) != words:
        words = shorter
    # protobuf tells of each level, from the outside: what is wrong stands at the end.
    return words.rpartition("Failed to parse ")[2].rstrip(".")
