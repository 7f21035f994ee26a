"""A JSON Schema as the grammar compiler (llguidance) can hold it.

What the compiler would read otherwise is written in its words; what it can't hold, and says nothing of, is left out and
named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from triroute.engine.schemas.counts import hold_counts
from triroute.engine.schemas.numbers import Written, hold_numbers
from triroute.engine.schemas.texts import hold_texts

_IGNORING_SIBLINGS = tuple(f"http://json-schema.org/draft-0{number}/schema" for number in (4, 6, 7))
_KEPT = 64  # schemas
_BESIDE_REF = {"$ref", "$schema", "$id", "id", "definitions", "$defs"}
_NAMED = ("properties", "patternProperties")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = ("items", "additionalItems", "additionalProperties")


@dataclass(frozen=True, slots=True)
class Held:
    """A schema to compile, and the keywords that it does not hold outputs to although the compiler won't say so."""

    schema: Any
    unenforced: tuple[str, ...] = ()


@lru_cache(maxsize=_KEPT)  # each stage of a request's trials asks again
def hold(source: str) -> Held:
    """Read a JSON Schema's text. Raises ValueError and RecursionError where it can't be read."""
    root = json.loads(source, parse_float=Written)
    named = root.get("$schema") if isinstance(root, dict) else None
    alone = isinstance(named, str) and named.rstrip("#") in _IGNORING_SIBLINGS
    if alone:
        for schema in _within(root):
            if isinstance(schema.get("$ref"), str):
                for keyword in schema.keys() - _BESIDE_REF:
                    del schema[keyword]
    schemas = list(_within(root))
    whole = any("integer" in _types(schema) for schema in schemas)
    lost = [
        name
        for schema in schemas
        for name in (
            *hold_numbers(schema, _types(schema), whole=whole),
            *hold_texts(schema, _types(schema)),
            *hold_counts(schema),
        )
    ]
    return Held(root, tuple(dict.fromkeys(lost)))


def _types(schema: dict[str, Any]) -> tuple[str, ...]:
    """Those that it names; none: it may be any."""
    named = schema.get("type")
    return tuple(kind for kind in (named if isinstance(named, list) else [named]) if isinstance(kind, str))


def _within(root: Any) -> Iterator[dict[str, Any]]:
    """The schemas that a grammar comes to from `root`: each once, and what is done to it before those inside it."""
    open_nodes, seen = [root], set[int]()
    while open_nodes:
        node = open_nodes.pop()
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        inside = [item for key in _NAMED if isinstance(node.get(key), dict) for item in node[key].values()]
        inside += [item for key in _LISTED if isinstance(node.get(key), list) for item in node[key]]
        inside += [node[key] for key in _SINGLE if key in node]
        inside.append(_target(root, node.get("$ref")))
        open_nodes += reversed(inside)


def _target(root: Any, reference: Any) -> Any:
    """Where a reference leads; None: nowhere that the compiler finds."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    place = root
    for key in filter(None, reference[1:].split("/")):
        if isinstance(place, list):
            place = place[int(key)] if key.isdecimal() and int(key) < len(place) else None
        else:
            place = place.get(key) if isinstance(place, dict) else None
    return place
