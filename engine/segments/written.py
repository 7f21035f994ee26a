"""Tool calls as models write them, to a name and arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from triroute.engine.segments.parameters import value_of
from triroute.engine.segments.pythonic import calls_in

_NAMES = ("name", "tool_name", "tool", "function")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_HEAD = re.compile(
    rf'\{{\s*"(?:{"|".join(_NAMES)})"\s*:\s*(?P<name>"(?:[^"\\]|\\.){{1,256}}")\s*,\s*"(?:{"|".join(_ARGUMENTS)})"\s*:\s*',
    re.DOTALL,
)
_BUILT_IN = re.compile(r"(?P<name>[\w-]+)\.call\(")
_BEFORE_NAME = re.compile(r"[\s,{]*")
_COLON = re.compile(r"\s*:\s*")
INTERPRETER = "code_interpreter"  # what Llama calls by writing nothing but code


def call_in(text: str) -> tuple[str, str] | None:
    """Name and arguments, JSON text as it was written, of an object that calls a tool; None where it does not.

    `{"name", "arguments"}` and its variants: other keys, arguments as a string of JSON, an OpenAI `function` around it.
    """
    values = _members(text)
    values = _members(values.get("function", "")) or values
    name = next((_string(values[key]) for key in _NAMES if key in values), "")
    if not name:
        return None
    arguments = next((values[key] for key in _ARGUMENTS if key in values), None)
    return None if arguments is None else (name, _string(arguments) or arguments)


def head_of(text: str) -> str:
    """The name in an object that calls a tool, as far as its arguments; empty where it has another beginning."""
    found = _HEAD.fullmatch(text)
    return _string(found["name"]) if found else ""


def arguments_in(text: str) -> str | None:
    """An object of arguments, as it was written; None where it is no JSON."""
    return text if _members(text) or text.strip("{} \r\n\t") == "" else None


def code_call(text: str) -> tuple[str, str]:
    """What follows Llama's `<|python_tag|>`: `name.call(key="value")`, or nothing but code."""
    said = text.strip()
    found = _BUILT_IN.match(said)
    calls = calls_in(f"[{found['name']}({said[found.end() :]}]") if found else None
    return calls[0] if calls and len(calls) == 1 else (INTERPRETER, json.dumps({"code": text}, ensure_ascii=False))


def parameters_json(values: Mapping[str, str], types: Mapping[str, frozenset[str]]) -> str:
    """Arguments that were written between tags, each of a type that it may have."""
    read = {name: value_of(value, types[name]) if name in types else value_of(value) for name, value in values.items()}
    return json.dumps(read, ensure_ascii=False)


def _string(text: str) -> str:
    """The text of a JSON string; empty for other values."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value as it was written; none where it is no JSON."""
    try:
        if not isinstance(json.loads(text), dict):
            return {}
    except (ValueError, RecursionError):
        return {}
    members: dict[str, str] = {}
    decoder, at = json.JSONDecoder(), 0
    while True:
        space = _BEFORE_NAME.match(text, at)
        at = space.end() if space else at
        if at >= len(text) or text[at] == "}":
            return members
        name, at = decoder.raw_decode(text, at)
        space = _COLON.match(text, at)
        start = space.end() if space else at
        _, at = decoder.raw_decode(text, start)
        members[name] = text[start:at]
