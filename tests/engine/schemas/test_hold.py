"""What the compiler would read otherwise is written in its words; what it can't hold is named."""

from __future__ import annotations

import contextlib
import json

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
