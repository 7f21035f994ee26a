"""What is wrong, where; and schemas that no one can judge by end in time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.structured.schema import Unjudged, wrong_in
from triroute.router.structured.where import offset_of

KEYS = st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "schema", "path", "problem"),
    [
        ("1", {"type": "integer"}, None, None),
        ('"x"', {"type": "integer"}, "$", "type: 'x' is not of type 'integer'"),
        ('{"a": [1, 1]}', {"properties": {"a": {"uniqueItems": True}}}, "$.a", "uniqueItems"),
        ('{"a": [1, "b"]}', {"properties": {"a": {"items": {"type": "integer"}}}}, "$.a[1]", "type"),
        ('"no date"', {"format": "date"}, "$", "format"),
        ('"ab"', {"pattern": "^b"}, "$", "pattern"),
        ('{"ab": 1}', {"patternProperties": {"^a": {"type": "string"}}}, "$.ab", "type"),
        ("NaN", {}, "$", "is not JSON: NaN"),
        ("{", {}, "$", "is not JSON"),
        ("[" * 100_000, {}, "$", "is nested too deep"),
        ("[1]", {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}, "$[0]", "type"),
    ],
)
def test_what_is_wrong(text: str, schema: Any, path: str | None, problem: str | None) -> None:
    wrong = wrong_in(text, json.dumps(schema))
    assert (wrong and wrong.path) == path
    assert wrong is None or wrong.problem.startswith(problem or "")


def test_the_first_in_the_text_is_told() -> None:
    wrong = wrong_in('{"b": 1, "a": 1}', '{"properties": {"a": {"type": "null"}, "b": {"type": "null"}}}')
    assert wrong is not None
    assert wrong.path == "$.b"


@pytest.mark.parametrize(
    ("text", "schema", "words"),
    [
        (json.dumps("a" * 40 + "!"), {"pattern": "^(a|a)*$"}, "takes longer than"),
        (json.dumps({"a" * 40 + "!": 1}), {"patternProperties": {"^(a|a)*$": {}}}, "takes longer than"),
        ("1", {"$ref": "#"}, "without end"),
        ("1", {"$ref": "#/nowhere"}, "can't be followed"),
        ("1", {"$ref": "http://127.0.0.1:9/"}, "can't be followed"),
    ],
)
def test_what_can_not_be_judged(text: str, schema: Any, words: str) -> None:
    with pytest.raises(Unjudged, match=words):
        wrong_in(text, json.dumps(schema))


def test_no_parameters_are_no_arguments() -> None:
    assert wrong_in("{}", "") is None
    assert wrong_in('{"a": 1}', "") is not None


def _places(value: Any, keys: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(keys, value), *(place for key, item in inside for place in _places(item, (*keys, key)))]


@given(value=VALUES, indent=st.none() | st.integers(0, 2))
def test_every_value_is_where_it_is_said_to_be(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    for keys, item in _places(value):
        assert json.JSONDecoder().raw_decode(text, offset_of(text, keys))[0] == item
