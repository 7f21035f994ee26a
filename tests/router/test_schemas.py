"""What makes a schema one that can be used, and what only looks as if it made it none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triroute.router.schemas import Schema, object_problem, schema_problem

DRAFT = "http://json-schema.org/draft-0{}/schema#"
FAR = {"$ref": "http://x/y"}


@pytest.mark.parametrize(
    "schema",
    [
        *({key: FAR} for key in ("const", "default")),
        *({key: [FAR]} for key in ("enum", "examples")),
        {"properties": {"$ref": {"type": "string"}, "enum": {"enum": [FAR]}}},
        {"patternProperties": {"^\\p{L}+$": {"pattern": "\\p{Lu}"}}},
        {"$schema": DRAFT.format(4), "minimum": 1, "exclusiveMinimum": True},
        {"$schema": DRAFT.format(4), "enum": [number if number % 2 else str(number) for number in range(9_000)]},
        {"$schema": "http://["},
        {"maximum": 1e300},
    ],
    ids=lambda schema: json.dumps(schema)[:40],
)
def test_nothing_is_wrong(schema: Any) -> None:
    assert schema_problem(Schema(json.dumps(schema))) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"const": FAR}}, "only references inside"),
        ({"items": [{"properties": {"enum": {"$dynamicRef": "x"}}}]}, "only references inside"),
        ({"default": 1, "not": FAR}, "only references inside"),
        ({"patternProperties": {"(": {}}}, "not a valid JSON Schema"),
        ({"$schema": DRAFT.format(4), "enum": [1, 1.0]}, "non-unique"),
        ({"$schema": DRAFT.format(3), "divisibleBy": 2}, "use draft 4 or a newer one"),
        ({"$schema": 3}, "not a valid JSON Schema at $['$schema']"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_is_wrong(schema: Any, words: str) -> None:
    assert words in (schema_problem(Schema(json.dumps(schema))) or "")


@pytest.mark.parametrize("number", ["1" * 5_000, "-" + "1" * 5_000, "1e9999999", "1.5e5000", "1e9999999999999999999"])
def test_numbers_of_any_length(number: str) -> None:
    assert schema_problem(Schema(f'{{"minimum": {number}}}')) == "has a number of over 4300 digits"
    assert object_problem(f'{{"a": {number}}}') is None


@pytest.mark.parametrize("kind", ["array", "string", ["string", "null"]])
def test_arguments_are_objects(kind: Any) -> None:
    text = json.dumps({"type": kind})
    assert schema_problem(Schema(text)) is None
    assert (schema_problem(Schema(text, of_arguments=True)) or "").startswith(f"has type {json.dumps(kind)}, and")


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"type": ["null", "object"]}, {"$ref": "#/$defs/a"}])
def test_what_may_be_an_object(schema: Any) -> None:
    assert schema_problem(Schema(json.dumps(schema), of_arguments=True)) is None
