"""JSON that callers send: is it JSON, is it a schema, and does it stay on this machine?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from triroute.router.structured.dialect import UnknownDialect, UnreadNumber, read, refuse, validator_of_schemas
from triroute.router.structured.formats import UnreadPattern

MOST_CHARACTERS = 262_144
_DEEPEST = 64
_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
_DATA = {"const", "enum", "default", "examples"}


class Schema(NamedTuple):
    """A JSON Schema's text. `of_arguments`: it is a tool's, whose arguments are always an object."""

    text: str
    of_arguments: bool = False


def object_problem(text: str) -> str | None:
    """What is wrong with a JSON object; None: nothing. Its numbers may have any length."""
    if len(text) > MOST_CHARACTERS:
        return f"has over {MOST_CHARACTERS} characters"
    try:
        value = json.loads(text, parse_int=float, parse_constant=refuse)
    except RecursionError:
        return f"is nested deeper than {_DEEPEST}"
    except ValueError as error:
        return f"is not JSON: {error}"
    return None if isinstance(value, dict) else _no_object(value)


def schema_problem(schema: Schema) -> str | None:
    """What is wrong with a JSON Schema, by its $schema, or else by 2020-12; None: nothing.

    How long that takes is up to the schema: what came from others is asked of `Judges`.
    """
    text = schema.text
    if len(text) > MOST_CHARACTERS:
        return f"has over {MOST_CHARACTERS} characters"
    try:
        value = read(text)
    except RecursionError:
        return f"is nested deeper than {_DEEPEST}"
    except UnreadNumber as long:
        return str(long)
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(value, dict):
        return _no_object(value)
    if _depth(value) > _DEEPEST:
        return f"is nested deeper than {_DEEPEST}"
    remote = next((ref for ref in _references(value) if not ref.startswith("#")), None)
    if remote:
        return f"refers to {remote[:100]!r}; only references inside the schema (#/...) are followed"
    try:
        invalid = next(validator_of_schemas(value).iter_errors(value), None)
    except (UnknownDialect, UnreadPattern) as unread:
        return str(unread)
    if invalid is not None:
        return f"is not a valid JSON Schema at {invalid.json_path}: {invalid.message[:200]}"
    return _no_arguments(value.get("type", "object")) if schema.of_arguments else None


def _no_arguments(kinds: Any) -> str | None:
    if "object" in (kinds if isinstance(kinds, list) else [kinds]):
        return None
    return f"has type {json.dumps(kinds)[:100]}, and arguments are an object; make what it describes a property of one"


def _no_object(value: Any) -> str:
    return f"must be a JSON object, not {type(value).__name__}"


def _depth(value: Any) -> int:
    deepest, open_nodes = 0, [(value, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        deepest = max(deepest, depth)
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        open_nodes += [(child, depth + 1) for child in children]
    return deepest


def _references(value: Any) -> Iterator[str]:
    """Those of a schema, not what looks like one in data; what stands under a name of the author's is a schema."""
    open_nodes = [(value, False)]
    while open_nodes:
        node, named = open_nodes.pop()
        if isinstance(node, list):
            open_nodes += [(item, False) for item in node]
        elif isinstance(node, dict):
            for key, item in node.items():
                if not named and key in ("$ref", "$dynamicRef") and isinstance(item, str):
                    yield item
                elif named or key not in _DATA:
                    open_nodes.append((item, not named and key in _NAMED))
