"""JSON Schemas that callers send: are they JSON, are they schemas, and do they stay on this machine?"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema
from jsonschema.validators import validator_for

_MOST_CHARACTERS = 262_144
_DEEPEST = 64


@lru_cache(maxsize=512)
def schema_problem(text: str, *, as_schema: bool = True) -> str | None:
    """What is wrong with a JSON object, or with a JSON Schema (2020-12, or as its $schema says); None: nothing."""
    if len(text) > _MOST_CHARACTERS:
        return f"has over {_MOST_CHARACTERS} characters"
    try:
        value = json.loads(text)
    except RecursionError:
        return f"is nested deeper than {_DEEPEST}"
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(value, dict):
        return f"must be a JSON object, not {type(value).__name__}"
    if not as_schema:
        return None
    if _depth(value) > _DEEPEST:
        return f"is nested deeper than {_DEEPEST}"
    remote = next((ref for ref in _references(value) if not ref.startswith("#")), None)
    if remote:
        return f"refers to {remote[:100]!r}; only references inside the schema (#/...) are followed"
    dialect = validator_for(value, default=jsonschema.Draft202012Validator)
    try:
        dialect.check_schema(value)
    except jsonschema.SchemaError as error:
        return f"is not a valid JSON Schema at {error.json_path}: {error.message[:200]}"
    return None


def _depth(value: Any) -> int:
    deepest, open_nodes = 0, [(value, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        deepest = max(deepest, depth)
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        open_nodes += [(child, depth + 1) for child in children]
    return deepest


def _references(value: Any) -> list[str]:
    found, open_nodes = [], [value]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, dict):
            found += [ref for key, ref in node.items() if key in ("$ref", "$dynamicRef") and isinstance(ref, str)]
            open_nodes += node.values()
        elif isinstance(node, list):
            open_nodes += node
    return found
