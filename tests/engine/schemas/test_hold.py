"""What the compiler would read otherwise is written in its words; what it can't hold is named."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from triroute.engine.chat import Tool
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compile_format
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.tool_grammar import Calls, compile_calls
from triroute.engine.types import FormatKind, ResponseFormat
from triroute.router.structured.schema import wrong_in

TOKENIZER = tiny_tokenizer()
OLD = "http://json-schema.org/draft-07/schema#"
NULL = {"type": "null"}
TWO = {"a": NULL, "b": NULL}
THREE = {**TWO, "c": NULL}


def _compiled(schema: str) -> Constraint:
    return compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, schema), TOKENIZER)


def _takes(schema: str, text: str) -> bool:
    constraint = _compiled(schema)
    try:
        for token in [*TOKENIZER.encode(text), min(TOKENIZER.end_ids)]:
            constraint.advance(token)
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize(
    ("schema", "text", "unenforced"),
    [
        ('{"const": 1234567890123456789}', "1234567890123456789", ("const",)),
        ('{"const": 12345678901234567890123}', "12345678901234567890123", ("const",)),
        ('{"enum": [1, 1234567890123456789, "a"]}', "1234567890123456789", ("enum",)),
        ('{"const": {"a": [0.1, 1234567890123456789]}}', '{"a": [0.1, 1234567890123456789]}', ("const",)),
        ('{"type": "integer", "const": 1e25}', "10000000000000000000000000", ("const",)),
        ('{"const": 0.10000000000000000001}', "0.10000000000000000001", ("const",)),
        ('{"const": 1e400}', "1" + 400 * "0", ("const",)),
        ('{"const": -9223372036854775808}', "-9223372036854775808", ("const",)),
        (
            '{"type": "integer", "minimum": 100000000000000000000, "maximum": 100000000000000000005}',
            "100000000000000000003",
            ("minimum", "maximum"),
        ),
        ('{"type": "integer", "minimum": 9007199254740993}', "9007199254740993", ("minimum",)),
        ('{"type": "integer", "exclusiveMaximum": 9007199254740992}', "9007199254740991", ("exclusiveMaximum",)),
        ('{"type": "number", "minimum": -1e300}', "-5.5", ("minimum",)),
        ('{"type": "number", "maximum": 0.10000000000000000001}', "0.1", ("maximum",)),
        ('{"multipleOf": 0.07}', "0.21", ("multipleOf",)),
        ('{"allOf": [{"properties": {"a": {"const": 1234567890123456789}}}]}', "{}", ("const",)),
        ('{"$ref": "#/$defs/a", "$defs": {"a": {"minimum": 1e300}}}', "null", ("minimum",)),
    ],
)
def test_numbers_that_the_compiler_does_not_have_are_named_and_can_be_written(
    schema: str, text: str, unenforced: tuple[str, ...]
) -> None:
    assert _compiled(schema).unenforced == unenforced
    assert wrong_in(text, schema) is None
    assert _takes(schema, text)
    if "$ref" not in schema:
        loose, strict = (Tool("t", "", f'{{"properties": {{"a": {schema}}}}}', strict=on) for on in (False, True))
        assert compile_calls([loose], Calls.MUST, TOKENIZER).unenforced == unenforced
        with pytest.raises(InvalidRequest, match=f"has {', '.join(unenforced)}, which a strict tool can't have"):
            compile_calls([strict], Calls.MUST, TOKENIZER)


@pytest.mark.parametrize(
    ("schema", "forced"),
    [
        ('{"const": 9007199254740992}', "9007199254740992"),
        ('{"const": 9223372036854775807}', "9223372036854775807"),
        ('{"const": 1152921504606846976}', "1152921504606846976"),
        ('{"const": 1e25}', "10000000000000000000000000"),
        ('{"const": 0.1}', "0.1"),
        ('{"const": -1.5e-7}', "-0.00000015"),
        ('{"enum": [{"b": [1.50]}]}', '{"b": [1.5]}'),
    ],
)
def test_numbers_that_it_has_are_forced(schema: str, forced: str) -> None:
    constraint = _compiled(schema)
    assert constraint.unenforced == ()
    assert "".join(map(TOKENIZER.show, constraint.take_forced(99))).removesuffix("<|im_end|>") == forced
    assert wrong_in(forced, schema) is None


@pytest.mark.parametrize(
    ("schema", "fits", "unfit"),
    [
        ('{"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807}', "0", "1" + 19 * "0"),
        ('{"type": ["integer", "null"], "minimum": 0, "maximum": 18446744073709551615}', "5", "-1"),
        ('{"type": "integer", "maximum": 100000000000000000}', "100000000000000000", "100000000000000001"),
        ('{"type": "number", "exclusiveMinimum": 0.1, "multipleOf": 0.01}', "0.11", "0.1"),
        ('{"default": 1234567890123456789, "examples": [1e300], "type": "string", "minimum": 1e300}', '"a"', "1"),
        ('{"$defs": {"a": {"const": 1234567890123456789}}, "type": "null"}', "null", "1"),
    ],
)
def test_numbers_that_change_nothing_are_not_named(schema: str, fits: str, unfit: str) -> None:
    assert _compiled(schema).unenforced == ()
    for text, held in ((fits, True), (unfit, False)):
        assert (wrong_in(text, schema) is None) is held
        assert _takes(schema, text) is held


def test_what_stands_beside_a_reference_is_ignored_where_its_draft_says_so() -> None:
    definitions = {"a": {"type": "integer", "minimum": 0, "maximum": 3}}
    beside = {"$ref": "#/definitions/a", "type": "string", "definitions": definitions}
    for schema in (
        {"$schema": OLD, **beside},
        {"$schema": OLD, "allOf": [{"$ref": "#/definitions/a", "maximum": 1}], "definitions": definitions},
    ):
        text = json.dumps(schema)
        assert (_takes(text, "2"), wrong_in("2", text)) == (True, None)
        assert not _takes(text, "4")
    newer = json.dumps({"$ref": "#/$defs/a", "maximum": 1, "$defs": definitions})
    assert (_takes(newer, "1"), _takes(newer, "2")) == (True, False)
    with pytest.raises(InvalidRequest, match="Unsatisfiable"):
        _compiled(json.dumps(beside))
    tool = Tool(
        "t", "", json.dumps({"$schema": OLD, "$ref": "#/definitions/o", "definitions": {"o": {"required": ["x"]}}})
    )
    constraint = compile_calls([tool], Calls.MUST, TOKENIZER)
    for token in TOKENIZER.encode('<tool_call>[{"name": "t", "arguments": {"'):
        constraint.advance(token)


@pytest.mark.parametrize(
    ("counts", "properties", "closed", "unenforced", "fits", "unfit"),
    [
        ({"minProperties": 2}, TWO, True, (), ["ab"], ["", "a", "b"]),
        ({"minProperties": 2, "required": ["a"]}, TWO, True, (), ["ab"], ["", "a"]),
        ({"minProperties": 2, "maxProperties": 2}, TWO, True, (), ["ab"], ["a"]),
        ({"minProperties": 2}, THREE, True, ("minProperties",), ["ab", "abc", "c"], []),
        ({"minProperties": 1}, THREE, True, (), ["a", "bc"], [""]),
        ({"maxProperties": 1}, THREE, True, (), ["", "a"], ["bc"]),
        ({"maxProperties": 2}, THREE, True, ("maxProperties",), ["ab"], []),
        ({"minProperties": 1, "maxProperties": 2}, THREE, True, ("maxProperties",), ["ab"], [""]),
        ({"maxProperties": 3}, THREE, True, (), ["", "abc"], []),
        ({"maxProperties": 1, "required": ["a"]}, THREE, True, (), ["a"], ["ab", "b"]),
        ({"maxProperties": 1, "required": ["a"]}, THREE, False, (), ["a"], ["ab", "ad"]),
        ({"maxProperties": 2}, THREE, False, ("maxProperties",), ["ab"], []),
        ({"minProperties": 2}, {}, False, ("minProperties",), ["de"], ["d"]),
        ({"minProperties": 1, "maxProperties": 2}, {}, False, (), ["d", "de"], ["", "def"]),
    ],
)
def test_counts_of_properties(
    counts: dict[str, Any],
    properties: Any,
    closed: bool,
    unenforced: tuple[str, ...],
    fits: list[str],
    unfit: list[str],
) -> None:
    schema = json.dumps({"type": "object", "properties": properties, "additionalProperties": not closed, **counts})
    assert _compiled(schema).unenforced == unenforced
    for names in fits:
        assert _takes(schema, json.dumps(dict.fromkeys(names))), names
    for names in unfit:
        assert wrong_in(json.dumps(dict.fromkeys(names)), schema) is not None
        assert not _takes(schema, json.dumps(dict.fromkeys(names))), names


def test_what_no_object_can_have_is_refused() -> None:
    schema = {"type": "object", "properties": TWO, "additionalProperties": False, "minProperties": 3}
    with pytest.raises(InvalidRequest, match="Unsatisfiable"):
        _compiled(json.dumps(schema))


@pytest.mark.parametrize(
    "odd",
    [
        *('{"allOf": 5, "const": 1e400}', '{"enum": 5}', '{"required": 5, "minProperties": 1}', '{"pattern": 5}'),
        *('{"type": {}, "format": []}', '{"$ref": "#/a/b/9", "a": []}', '{"minimum": "a"}', '{"properties": 5}', "5"),
        *('{"$ref": "#", "minProperties": 2.0}', '{"items": {"$ref": "#"}}', '{"format": "date", "allOf": null}'),
    ],
)
def test_what_is_no_schema_is_refused_or_not_looked_at(odd: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert _compiled(odd).allowed().any()
