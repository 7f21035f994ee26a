"""pydantic's errors in a YAML file as findings for people: the place, what was expected, the nearest valid name."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from triroute.router.policy.document import Document, Path
from triroute.router.policy.findings import Finding, Severity

_CODES = {
    "extra_forbidden": "unknown-key",
    "missing": "missing-key",
    "literal_error": "unknown-name",
    "enum": "unknown-name",
    "value_error": "nonsense",
    "string_pattern_mismatch": "bad-name",
}
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
_KEYS, _LIST = "keys with values", "a list"
_TYPES = {
    "model_type": _KEYS,
    "dict_type": _KEYS,
    "list_type": _LIST,
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_NAME = "a name of up to 64 lower-case letters, digits, '.', '_' and '-'"


def explain(error: ValidationError, read: Document, source: str, model: type[BaseModel]) -> tuple[Finding, ...]:
    """One finding a place, which speaks for all the branches of a union."""
    by_place: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors():
        by_place.setdefault(_real_path(read.data, detail), []).append(detail)
    # What is wrong inside of a value is of the branch that it was meant for; the others only say that it is none.
    inner = {path[:length] for path in by_place for length in range(len(path))}
    return tuple(
        _finding(path, details, read, source, model)
        for path, details in by_place.items()
        if not (path in inner and all(_is_type(detail) for detail in details))
    )


def _is_type(detail: ErrorDetails) -> bool:
    return detail["type"] in _TYPES or detail["type"] in ("literal_error", "enum")


def _finding(path: Path, details: list[ErrorDetails], read: Document, source: str, model: type[BaseModel]) -> Finding:
    """Of the branches of a union, an error about the value beats those that only say what else it could be."""
    detail = next((one for one in reversed(details) if not _is_type(one)), details[-1])
    kind, asked = detail["type"], detail["loc"][-1] if detail["loc"] else ""
    rule, hint = _rule(read.data, path), ""
    if kind == "extra_forbidden":
        path = (*path, "<key>")
        message, hint = f"unknown key {asked!r}", _nearest(str(asked), _siblings(detail["loc"], model))
    elif kind == "missing":
        message, hint = f"{asked!r} is missing", "add it"
    elif _is_type(detail):
        message, hint = _expected(details)
        kind = next((one["type"] for one in details if one["type"] not in _TYPES), kind)
    elif kind == "string_pattern_mismatch":
        message = f"{detail['input']!r} is not {_NAME}"
    elif kind in ("too_short", "too_long"):
        context = detail["ctx"]
        bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        message = f"expected {bound} in the list, found {context['actual_length']}"
    else:
        message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        if not isinstance(detail["input"], dict | list) and repr(detail["input"]) not in message:
            message += f", found {detail['input']!r}"
    named = ".".join(str(part) for part in path if part != "<key>" and not isinstance(part, int))
    code = _CODES.get(kind, "out-of-range" if kind in _OUT_OF_RANGE else "wrong-type")
    return Finding(
        code, Severity.ERROR, source, *read.at(path), rule, f"{named + ': ' if named else ''}{message}", hint
    )


def _expected(details: list[ErrorDetails]) -> tuple[str, str]:
    """What all branches of a union would take, and the nearest of the words among it."""
    found = details[0]["input"]
    literal = next((one for one in details if one["type"] not in _TYPES), None)
    types = list(dict.fromkeys(_TYPES[one["type"]] for one in details if one["type"] in _TYPES))
    if literal is None:
        return f"expected {' or '.join(types)}, found {_shown(found)}", ""
    choice = str(literal.get("ctx", {}).get("expected", ""))
    words = [word.strip(" '") for word in choice.replace(" or ", ", ").split(",")]
    scalars = [kind for kind in types if kind not in (_KEYS, _LIST)]  # that a list of the words will do is no news
    if len(words) == 1:
        message = f"expected {' or '.join([*scalars, choice])}, found {found!r}"
    else:
        message = f"{found!r} is not {' or '.join([*scalars, f'one of {choice}'])}"
    return message, _nearest(str(found), words, complete=not scalars and len(words) > 1)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return _KEYS
    return _LIST if isinstance(value, list) else "nothing" if value is None else repr(value)


def _real_path(data: Any, detail: ErrorDetails) -> Path:
    """pydantic names branches of unions in its paths; keep the parts that the file has, and a key that is missing."""
    path: list[str | int] = []
    loc = detail["loc"]
    for position, part in enumerate(loc):
        absent = detail["type"] == "missing" and position == len(loc) - 1
        if isinstance(data, dict) and (part in data or absent):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path)


def _rule(data: Any, path: Path) -> str:
    """The id of the rule (or the name of the test case) that the path lies in."""
    if len(path) < 2 or path[0] not in ("rules", "cases") or not isinstance(path[1], int):
        return ""
    rule = data[path[0]][path[1]]
    return str(rule.get("id", rule.get("name", f"number {path[1] + 1}"))) if isinstance(rule, dict) else ""


def _siblings(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys that are known where `loc` ends, found in the JSON Schema."""
    schema = model.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in loc[:-1]:
        options = node.get("anyOf", [node])
        if isinstance(part, int):
            node = next((option["items"] for option in options if "items" in option), {})
        else:
            node = node.get("properties", {}).get(part, node if part not in node.get("properties", {}) else {})
        reference = next((o["$ref"] for o in node.get("anyOf", [node]) if "$ref" in o), None)
        if reference:
            node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return list(node.get("properties", {}))


def _nearest(word: str, known: list[str], complete: bool = True) -> str:
    """What to write instead; all that is known, where that is `complete`."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(known)}" if known and complete else ""
