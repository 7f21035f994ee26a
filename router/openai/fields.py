"""What single fields of a body may hold, beyond their types."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

MOST_32 = 2**32 - 1
_NO_ROLES = {"function": "functions are gone; send a turn of role tool with its tool_call_id"}
_OF_PARTS = {"type", "text", "cache_control", "prompt_cache_breakpoint"}  # caches need no marks here
# Kinds of errors that say all in their message.
OWN = ("refused", "content", "part", "texts", "prompt", "token", "tool_choice", "block_length", "role")


def refused(why: str) -> BeforeValidator:
    """Null alone."""
    return only(why=why)


def only(*allowed: Any, why: str) -> BeforeValidator:
    """Null, or one of the values that change nothing."""

    def check(value: Any) -> Any:
        if not any(value == one and type(value) is type(one) for one in (None, *allowed)):
            raise PydanticCustomError("refused", "{why}", {"why": why})
        return value

    return BeforeValidator(check)


def text(value: Any) -> str:
    """Text, or parts that are."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise PydanticCustomError("content", "expected text, or a list of parts of type text")
    return "".join(_part(number, part) for number, part in enumerate(value))


def _part(number: int, part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise PydanticCustomError("part", "part {number} is no object with a type", {"number": number})
    if kind != "text":
        why = "part {number} is of type {kind}; the model reads text alone, send parts of type text"
        raise PydanticCustomError("part", why, {"number": number, "kind": kind[:40]})
    unknown = next((key for key in part if key not in _OF_PARTS), None)
    if unknown is not None:
        why = "part {number} has an unknown key {key}; known are type and text"
        raise PydanticCustomError("part", why, {"number": number, "key": repr(unknown[:40])})
    if not isinstance(part.get("text"), str):
        raise PydanticCustomError("part", "part {number} has no text", {"number": number})
    return str(part["text"])


def texts(value: Any) -> list[str] | None:
    """One text, or several."""
    several = [value] if isinstance(value, str) else value
    if several is not None and not (isinstance(several, list) and all(isinstance(one, str) for one in several)):
        raise PydanticCustomError("texts", "expected text, or a list of texts")
    return several


def prompt(value: Any) -> str:
    """One text, be it in a list."""
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(one, str):
        return one
    why = "is missing" if one is None else "expected one text; neither several nor token ids are taken"
    raise PydanticCustomError("prompt", why)


def biases(value: Any) -> Any:
    for token in value if isinstance(value, dict) else ():
        if not (token.isascii() and token.isdecimal() and len(token) < 11 and int(token) <= MOST_32):
            raise PydanticCustomError(
                "token", "{token} is no token id; send its number as text", {"token": repr(token[:40])}
            )
    return value


def choice(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value in ("none", "auto", "required")):
        return value
    named = isinstance(value, dict) and value.get("type", "function") == "function"
    function = value.get("function") if named else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "function", "function": {"name": function["name"]}}
    raise PydanticCustomError(
        "tool_choice", 'expected none, auto, required, or {"type": "function", "function": {"name": "…"}}'
    )


def block_length(value: Any) -> Any:
    if value is None or value == "auto" or (type(value) is int and 0 <= value <= MOST_32):
        return value
    raise PydanticCustomError("block_length", "expected a number of tokens, or auto")


def role(value: Any) -> Any:
    if isinstance(value, str) and value in _NO_ROLES:
        raise PydanticCustomError("role", _NO_ROLES[value])
    return value
