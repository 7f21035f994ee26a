"""Patterns are read as the check reads them; formats are held as strictly as it looks at them, or named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compile_format
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.types import FormatKind, ResponseFormat
from triroute.router.structured.formats import FORMATS
from triroute.router.structured.schema import wrong_in

TOKENIZER = tiny_tokenizer()
SAMPLES, LONGEST = 150, 60
UNHELD = {"idn-email", "idn-hostname", "uri-reference", "iri", "iri-reference", "uri-template", "json-pointer"}
UNHELD |= {"relative-json-pointer", "regex"}


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


def _sampled(constraint: Constraint, random: np.random.Generator) -> str | None:
    """An output that ends soon; None where it does not."""
    constraint, text = constraint.copy(), b""
    ends = np.array(sorted(TOKENIZER.end_ids))
    for _ in range(LONGEST):
        allowed = np.flatnonzero(np.unpackbits(constraint.allowed(), count=TOKENIZER.vocab_size, bitorder="little"))
        if np.isin(ends, allowed).any():
            return text.decode()
        quote = TOKENIZER.encode('"')[0]
        token = quote if text and quote in allowed and random.random() < 0.3 else int(random.choice(allowed))
        constraint.advance(token)
        text += TOKENIZER.token_bytes(token)
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_is_not_named_is_held(name: str) -> None:
    schema = {"type": "string", "format": name}
    constraint, random = _compiled(schema), np.random.default_rng(0)
    assert constraint.unenforced == ((f"format: {name}",) if name in UNHELD else ())
    outputs = [_sampled(constraint, random) for _ in range(SAMPLES)]
    finished = [text for text in outputs if text is not None]
    assert len(finished) > SAMPLES // 3
    assert name in UNHELD or not any(wrong_in(text, json.dumps(schema)) for text in finished)


@pytest.mark.parametrize(
    ("name", "fits", "unfit"),
    [
        ("date", ["2024-02-29", "2000-02-29", "0004-02-29", "2023-12-31", "0001-01-01"], []),
        ("date", [], ["2023-02-29", "2023-02-30", "1900-02-29", "0000-01-01", "0000-02-29", "2023-04-31"]),
        ("time", ["12:00:00Z", "23:59:59.5-03:04", "23:59:60Z"], ["21:17:60-03:04", "24:00:00Z", "12:00:00"]),
        ("date-time", ["2024-02-29T23:59:60z"], ["2023-02-29T12:00:00Z", "2024-02-29T12:00:60Z"]),
        ("email", ["a.b@example.org", "a@[127.0.0.1]"], ["a@xn--x", "a@" + "a" * 64, "a@" + "a." * 130 + "a"]),
        ("hostname", ["a-b.example.org"], ["xn--x", "a" * 64, "a." * 130 + "a"]),
    ],
)
def test_what_a_format_holds(name: str, fits: list[str], unfit: list[str]) -> None:
    schema = {"type": "string", "format": name}
    for text, held in [*((text, True) for text in fits), *((text, False) for text in unfit)]:
        assert (wrong_in(json.dumps(text), json.dumps(schema)) is None) is held, text
        assert _takes(schema, text) is held, text


def test_a_format_beside_a_pattern_is_named_where_both_are_too_much() -> None:
    pattern = "^\\w+([\\.-]?\\w+)*@\\w+([\\.-]?\\w+)*(\\.\\w{2,})+$"
    schema = {"type": "string", "format": "email", "minLength": 6, "pattern": pattern}
    assert _compiled(schema).unenforced == ("format: email",)
    assert _compiled({"type": "string", "format": "date", "pattern": "^2"}).unenforced == ()


def test_a_format_of_no_string_is_none() -> None:
    assert _compiled({"type": "integer", "format": "uri-reference"}).unenforced == ()
    assert _takes({"format": "date"}, 5)
    assert not _takes({"format": "date"}, "2023-02-29")


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


@pytest.mark.parametrize("pattern", ["^a++$", "^a*+a$", "(?x) a ", "^a{2}+$", "(?i)^[^a-z]$"])
def test_a_pattern_of_other_dialects_is_named(pattern: str) -> None:
    assert _compiled({"type": "string", "pattern": pattern}).unenforced == ("pattern",)
    by_name = {"type": "object", "patternProperties": {pattern: {"type": "null"}}}
    assert _compiled(by_name).unenforced == ("patternProperties",)


@pytest.mark.parametrize(
    "pattern", [r"^\p{L}+$", "^[*+]+$", r"^a\++$", "^(?:a|b)+$", "(?i)^a$", "^[(?]$", r"^\u0041\x42$"]
)
def test_a_usual_pattern_is_not_named(pattern: str) -> None:
    assert _compiled({"type": "string", "pattern": pattern}).unenforced == ()
