"""What is wrong, where; and schemas that no one can judge by end in time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.structured.schema import Unjudged, wrong_in
from triroute.router.structured.where import offset_of

LETTERS = "^\\p{L}+$"
SEVEN = "http://json-schema.org/draft-07/schema#"
OLDER = "https://json-schema.org/draft/2019-09/schema"
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
        ("1e400", {"multipleOf": 0.5}, None, None),
        ("1e400", {"type": "integer", "minimum": 1e300, "multipleOf": 3}, "$", "multipleOf"),
        ("1" + "0" * 400, {"multipleOf": 0.5}, None, None),
        ("19.99", {"multipleOf": 0.01}, None, None),
        ("19.995", {"multipleOf": 0.01}, "$", "multipleOf"),
        ('{"\\ud800": 1}', {"additionalProperties": {"type": "null"}}, "$.\\ud800", "type"),
        ('[1, true, "1", 0, false, [1], [true], {"a": 1}, {"a": true}]', {"uniqueItems": True}, None, None),
        ('[{"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}]', {"uniqueItems": True}, "$", "uniqueItems"),
        ('"b"', {"$schema": "http://[", "type": "boolean"}, "$", "type"),
        ('{"x": null}', {"patternProperties": {"": {"type": "null"}}, "additionalProperties": False}, None, None),
        ('{"x": null}', {"patternProperties": {"": {"type": "null"}}, "unevaluatedProperties": False}, None, None),
        ('{"x": 1}', {"patternProperties": {"": {"type": "null"}}, "additionalProperties": False}, "$.x", "type"),
        (
            '{"ab": 1, "c": 1}',
            {"patternProperties": {"(a)b": {}, "(.)\\1": {}}, "additionalProperties": False},
            "$",
            "additionalProperties: 'c'",
        ),
        ("2", {"$schema": SEVEN, "$ref": "#/definitions/a", "type": "null", "definitions": {"a": {}}}, None, None),
    ],
)
def test_what_is_wrong(text: str, schema: Any, path: str | None, problem: str | None) -> None:
    wrong = wrong_in(text, json.dumps(schema))
    assert (wrong and wrong.path) == path
    assert wrong is None or wrong.problem.startswith(problem or "")


@pytest.mark.parametrize(
    ("text", "schema", "fits"),
    [
        ("10000000000000000000000000", '{"const": 1e25}', True),
        ("1e25", '{"const": 10000000000000000000000000}', True),
        ("10000000000000000000000001", '{"const": 1e25}', False),
        ("1234567890123456789", '{"const": 1234567890123456768}', False),
        ("[0.10, 1.0]", '{"enum": [[0.1, 1]]}', True),
        ("0.10000000000000000001", '{"const": 0.1}', False),
        ("0.10000000000000000001", '{"maximum": 0.1}', False),
        ("9007199254740993.0", '{"exclusiveMinimum": 9007199254740992}', True),
        ("1e2", '{"type": "integer", "multipleOf": 1e1}', True),
        ("1.5", '{"type": "integer"}', False),
        ("[1e-7, 0.0000001]", '{"uniqueItems": true}', False),
        ("[1, 1.00000000000000000001]", '{"uniqueItems": true}', True),
        ("true", '{"const": 1.0}', False),
    ],
)
def test_numbers_are_equal_by_their_value(text: str, schema: str, *, fits: bool) -> None:
    assert (wrong_in(text, schema) is None) is fits


@pytest.mark.parametrize(
    ("pattern", "fits", "unfit"),
    [
        (r"^\w$", "a_7", "éж１-"),
        (r"^\W$", "é倪-", "a_7"),
        (r"^[^\w]$", "é倪-", "a_7"),
        (r"^\d$", "7", "१１"),
        (r"^[\D]$", "१a", "7"),
        (r"^\s$", " \t\u00a0\ufeff\u2029", "\u0085\x1c"),
        (r"^[^\s\w]$", "\u0085é", " a\ufeff"),
        (r"^[\S\d]$", "\u00857", " "),
        (r"^[\w-]$", "-a", "é"),
        (r"^[\d-a]$", "-a7", "b"),
        (r"^.\b", "a", "é"),
        (r"^.\B", "é", "a"),
        (r"^[[:alpha:]$", "[:alph", "b"),
        (r"^[\\w]$", "\\w", "a"),
        (r"^[$]$", "$", "a"),
    ],
)
def test_patterns_are_those_of_ecma_262(pattern: str, fits: str, unfit: str) -> None:
    schema = json.dumps({"pattern": pattern})
    for text, held in [*((one, True) for one in fits), *((one, False) for one in unfit)]:
        assert (wrong_in(json.dumps(text), schema) is None) is held, text


def test_the_end_of_a_pattern_is_the_end_of_the_text() -> None:
    assert wrong_in('"a\\n"', '{"pattern": "^a$"}') is not None
    assert wrong_in('"a\\nb"', '{"pattern": "(?m)^a$"}') is None


@pytest.mark.parametrize("inside", [{}, {"$schema": OLDER}])
@pytest.mark.parametrize(
    "keywords",
    [
        {"propertyNames": {"pattern": LETTERS}},
        {"patternProperties": {LETTERS: True}, "additionalProperties": False},
        {"patternProperties": {LETTERS: True}, "additionalProperties": {"const": 1}},
        {"patternProperties": {LETTERS: True}, "unevaluatedProperties": False},
        {"allOf": [{"patternProperties": {LETTERS: True}}], "unevaluatedProperties": {"const": 1}},
    ],
    ids=lambda keywords: ", ".join(keywords),
)
def test_patterns_mean_the_same_in_every_keyword(keywords: Any, inside: Any) -> None:
    """Whatever dialect a schema inside names, they have a bound as well."""
    schema = json.dumps({"allOf": [{**inside, **keywords}]})
    assert wrong_in('{"\u00e9\u0436": 2}', schema) is None
    assert wrong_in('{"2": 2}', schema) is not None
    slow = schema.replace(json.dumps(LETTERS)[1:-1], "^(a|a)*$")
    with pytest.raises(Unjudged, match="a pattern of the schema takes longer"):
        wrong_in(json.dumps({"a" * 40 + "!": 2}), slow)


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
        ("true", {"x": 5, "not": {"$ref": "#/x"}}, "leads to what is no schema"),
        ("true", {"type": "boolean", "not": {"$ref": "#/type"}}, "leads to what is no schema"),
        ("1" * 5_000, {"type": "integer"}, "over 4300 digits"),
        ("1e5000", {}, "over 4300 digits"),
        ("1e-5000", {}, "over 4300 digits"),
        ("1e99999999999999999999", {}, "over 4300 digits"),
        (json.dumps("(" * 2_000 + ")" * 2_000), {"format": "regex"}, "nested too deep"),
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
