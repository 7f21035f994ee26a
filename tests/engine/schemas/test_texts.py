"""Patterns are read as the check reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compile_format
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.types import FormatKind, ResponseFormat
from triroute.router.structured.schema import wrong_in

TOKENIZER = tiny_tokenizer()


def _compiled(schema: dict[str, Any]) -> Constraint:
    return compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, json.dumps(schema)), TOKENIZER)


def _takes(schema: dict[str, Any], value: Any) -> bool:
    constraint = _compiled(schema)
    try:
        for token in [*TOKENIZER.encode(json.dumps(value, ensure_ascii=False)), min(TOKENIZER.end_ids)]:
            constraint.advance(token)
    except InvalidRequest:
        return False
    return True


LETTERS = [
    "a",
    "_",
    "7",
    "é",
    "１",
    "倪",
    " ",
    "\u00a0",
    "\u0085",
    "\ufeff",
    "\u2029",
    "\t",
    "-",
    "[",
    "&",
    "~",
    "]",
    "\n",
]


@pytest.mark.parametrize(
    "inside",
    [
        *(r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"[^\w]", r"[^\s\d]", r"[\W\d]", r"[\w-]", r"[\s\S]", r"[^\S]"),
        *("[[]", "[a[]", "[&&a]", "[~~a]", "[^[&]", r"[[\]]", r"\p{L}", r"[^\p{L}\s]", ".", "[[:alpha:]-]", r"\\d"),
    ],
)
def test_a_pattern_is_read_alike(inside: str) -> None:
    schema = {"type": "string", "pattern": f"^{inside}$"}
    constraint = _compiled(schema)
    assert constraint.unenforced == ()
    for text in LETTERS:
        fits = wrong_in(json.dumps(text), json.dumps(schema)) is None
        assert _takes(schema, text) is fits, text
    named = {"type": "object", "patternProperties": {f"^{inside}$": {"const": 1}}, "additionalProperties": False}
    for text in LETTERS:
        assert _takes(named, {text: 1}) is (wrong_in(json.dumps({text: 1}), json.dumps(named)) is None), text


@pytest.mark.parametrize("pattern", ["^a++$", "^a*+a$", "(?x) a ", "^a{2}+$"])
def test_a_pattern_of_other_dialects_is_named(pattern: str) -> None:
    assert _compiled({"type": "string", "pattern": pattern}).unenforced == ("pattern",)
    by_name = {"type": "object", "patternProperties": {pattern: {"type": "null"}}}
    assert _compiled(by_name).unenforced == ("patternProperties",)


@pytest.mark.parametrize(
    "pattern", [r"^\p{L}+$", "^[*+]+$", r"^a\++$", "^(?:a|b)+$", "(?i)^a$", "^[(?]$", r"^\u0041\x42$"]
)
def test_a_usual_pattern_is_not_named(pattern: str) -> None:
    assert _compiled({"type": "string", "pattern": pattern}).unenforced == ()
