"""What types the parameters of tools may have, for formats that write values without saying."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from triroute.engine.types import Parameters

_ALL = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", list: "array"}
_MOST_LOOKS = 64  # schemas that are looked at for a parameter: references may lead in circles


def parameters_of(schemas: Iterable[tuple[str, str]]) -> Parameters:
    """The JSON types that each parameter of each tool may have. `schemas`: names, and JSON Schemas of the arguments."""
    return {name: _properties(json.loads(source or "{}")) for name, source in schemas}


def value_of(text: str, types: frozenset[str] = _ALL) -> Any:
    """A parameter's value that was written as text: the JSON that it is, where that has one of the types; else text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    kind = _NAMES.get(type(value), "object")
    fits = kind in types or (kind == "integer" and "number" in types)
    return value if fits or "string" not in types else text


def _properties(schema: Any) -> Mapping[str, frozenset[str]]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    properties = found if isinstance(found, dict) else {}
    return {name: _types(property_, schema, iter(range(_MOST_LOOKS))) for name, property_ in properties.items()}


def _types(schema: Any, root: Any, looks: Iterator[int]) -> frozenset[str]:
    """The types that a schema leaves; all where it does not say."""
    if not isinstance(schema, dict) or next(looks, None) is None:
        return _ALL
    types, kinds = _ALL, schema.get("type")
    if isinstance(kinds, (str, list)):
        types &= frozenset([kinds] if isinstance(kinds, str) else map(str, kinds))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        types &= frozenset(_NAMES.get(type(value), "object") for value in values)
    for choices in (schema.get("anyOf"), schema.get("oneOf")):
        if isinstance(choices, list):
            types &= frozenset[str]().union(*(_types(choice, root, looks) for choice in choices))
    if "$ref" in schema:
        types &= _types(_referred(schema["$ref"], root), root, looks)
    return types


def _referred(reference: Any, root: Any) -> Any:
    """What a reference inside the schema leads to; None where it leads nowhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    for key in reference.removeprefix("#").split("/")[1:]:
        root = root.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root
