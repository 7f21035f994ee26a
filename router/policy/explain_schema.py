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


def explain(error: ValidationError, read: Document, source: str, model: type[BaseModel]) -> tuple[Finding, ...]:
    """One finding a place; of the branches of a union, the one that fits best, which is the last."""
    by_place = {str(_real_path(read.data, detail["loc"])): detail for detail in _best(error.errors())}
    return tuple(_finding(detail, read, source, model) for detail in by_place.values())


def _best(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """In a union, an error about the value beats one that only says that the type is another."""
    return sorted(details, key=lambda detail: not detail["type"].endswith("_type"))


def _finding(detail: ErrorDetails, read: Document, source: str, model: type[BaseModel]) -> Finding:
    path = _real_path(read.data, detail["loc"])
    kind, asked = detail["type"], detail["loc"][-1] if detail["loc"] else ""
    rule, hint = _rule(read.data, path), ""
    if kind == "extra_forbidden":
        path = (*path, "<key>")
        message, hint = f"unknown key {asked!r}", _nearest(str(asked), _siblings(detail["loc"], model))
    elif kind == "missing":
        message, hint = f"{asked!r} is missing", "add it"
    elif kind in ("literal_error", "enum"):
        expected = str(detail.get("ctx", {}).get("expected", ""))
        words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        message, hint = f"{detail['input']!r} is not one of {expected}", _nearest(str(detail["input"]), words)
    else:
        message = detail["msg"].removeprefix("Value error, ")
        if not isinstance(detail["input"], dict | list):
            message += f", found {detail['input']!r}"
    named = ".".join(str(part) for part in path if part != "<key>" and not isinstance(part, int))
    code = _CODES.get(kind, "out-of-range" if kind in _OUT_OF_RANGE else "wrong-type")
    return Finding(
        code, Severity.ERROR, source, *read.at(path), rule, f"{named + ': ' if named else ''}{message}", hint
    )


def _real_path(data: Any, loc: tuple[int | str, ...]) -> Path:
    """pydantic names branches of unions in its paths; keep the parts that the file has."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(data, dict) and (part in data or last):
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


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}" if known else ""
