"""Constraints allow exactly what their grammar does, and bad ones end as errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import compile_format
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.types import FormatKind, ResponseFormat

TOKENIZER = tiny_tokenizer()


def _allowed(source: str, prefix: str) -> set[str]:
    constraint = compile_format(ResponseFormat(FormatKind.REGEX, source), TOKENIZER)
    for token in TOKENIZER.encode(prefix):
        constraint.advance(token)
    bits = np.unpackbits(constraint.allowed(), count=TOKENIZER.vocab_size, bitorder="little")
    return {TOKENIZER.show(token) for token in np.flatnonzero(bits).tolist()}


def test_allows_what_continues() -> None:
    assert _allowed("ab?c", "a") == {"b", "c"}
    assert _allowed("ab?", "a") == {"b", "<|im_end|>"}
    assert _allowed("ab?", "ab") == {"<|im_end|>"}


def test_refuses_what_does_not() -> None:
    constraint = compile_format(ResponseFormat(FormatKind.REGEX, "a"), TOKENIZER)
    with pytest.raises(InvalidRequest, match=r"response_format\.regex: can't be followed"):
        constraint.advance(TOKENIZER.encode("z")[0])


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (FormatKind.REGEX, "(["),
        (FormatKind.REGEX, "a" * 300_000),
        (FormatKind.LARK, "start: missing_rule"),
        (FormatKind.JSON_SCHEMA, "{"),
        (FormatKind.JSON_SCHEMA, '{"type": "no such type"}'),
        (FormatKind.REGEX, "(" * 300 + "a{1,1000}" + "){1,1000}" * 300),
        (
            FormatKind.JSON_SCHEMA,
            '{"properties": {"a": {"$ref": "#/properties/a"}}, "required": ["a"], "type": "object"}',
        ),
        (FormatKind.JSON_SCHEMA, '{"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"}'),
        (FormatKind.JSON_SCHEMA, '{"const": "\\ud800"}'),
        (FormatKind.JSON_SCHEMA, json.dumps({"type": "object", "properties": {f"p{n}": {} for n in range(700)}})),
    ],
)
def test_bad_formats(kind: FormatKind, source: str) -> None:
    with pytest.raises(InvalidRequest, match=f"response_format.{kind.value}"):
        compile_format(ResponseFormat(kind, source), TOKENIZER)


def test_takes_what_is_forced_and_gives_it_back() -> None:
    constraint = compile_format(ResponseFormat(FormatKind.REGEX, "[ab](one|other) word!"), TOKENIZER)
    assert constraint.take_forced(99) == ()
    for _ in range(2):
        constraint.advance(TOKENIZER.encode("a")[0])
        taken = constraint.take_forced(99)
        assert TOKENIZER.encode("o") == list(taken)
        constraint.advance(TOKENIZER.encode("n")[0])
        forced = constraint.take_forced(99)
        assert "".join(map(TOKENIZER.show, forced)) == "e word!<|im_end|>"
        constraint.back(2 + len(taken) + len(forced))


def test_takes_no_more_of_what_is_forced_than_fits() -> None:
    constraint = compile_format(ResponseFormat(FormatKind.REGEX, "a{5000}"), TOKENIZER)
    assert len(constraint.take_forced(7)) == 7


def test_names_of_control_tokens_in_what_is_forced_are_text() -> None:
    constraint = compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, '{"const": "a<|im_end|>b"}'), TOKENIZER)
    taken = constraint.take_forced(99)
    assert list(taken) == [*TOKENIZER.encode('"a<|im_end|>b"'), *TOKENIZER.end_ids]


@pytest.mark.parametrize("part", ["<[1]>", "<[^1]>", "<[*]>", "<|im_end|>", "<anything>", "%lark {\nstart: <[257]>\n}"])
def test_grammars_name_no_tokens(part: str) -> None:
    with pytest.raises(InvalidRequest, match=r"tokens .* are not for grammars; write text as") as caught:
        compile_format(ResponseFormat(FormatKind.LARK, f'start: "a" part "b"\npart: {part}'), TOKENIZER)
    assert "257" not in str(caught.value)


def test_a_place_that_nothing_can_follow_is_the_requests_fault() -> None:
    lost = 'lost\nlost: lost "c"'
    with pytest.raises(InvalidRequest, match="leads to where nothing can follow"):
        compile_format(ResponseFormat(FormatKind.LARK, f"start: /[ab]/ {lost}"), TOKENIZER)
    constraint = compile_format(ResponseFormat(FormatKind.LARK, f"start: /[ab]{{40}}/ {lost}"), TOKENIZER)
    for token in TOKENIZER.encode("a" * 40):
        constraint.advance(token)
    with pytest.raises(InvalidRequest, match=r"response_format\.lark: can't be followed further"):
        constraint.allowed()


def test_what_is_too_much_is_refused_and_says_what_to_do() -> None:
    schema = {"type": "string", "allOf": [{"pattern": f"a.*b{number}"} for number in range(40)]}
    with pytest.raises(
        InvalidRequest, match=r"response_format\.json_schema: can't be compiled: .* use fewer or simpler"
    ):
        compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, json.dumps(schema)), TOKENIZER)


def test_errors_are_short() -> None:
    schema = {"type": "string", "allOf": [{"pattern": f"a.*b{number}"} for number in range(10)]}
    with pytest.raises(InvalidRequest) as caught:
        compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, json.dumps(schema)), TOKENIZER)
    assert len(str(caught.value)) < 300


def test_what_is_not_enforced_is_named() -> None:
    schema = '{"type": "array", "uniqueItems": true, "items": {"format": "idn-email", "type": "string"}, "not": {}}'
    constraint = compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, schema), TOKENIZER)
    assert set(constraint.unenforced) == {"uniqueItems", "not", "format: idn-email"}
    one = '{"oneOf": [{"type": "integer"}, {"type": "number"}]}'
    assert compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, one), TOKENIZER).unenforced == ("oneOf",)


def test_constraints_of_one_format_do_not_share_their_place() -> None:
    first, second = (compile_format(ResponseFormat(FormatKind.REGEX, "ab"), TOKENIZER) for _ in range(2))
    first.advance(TOKENIZER.encode("a")[0])
    assert second.accepts(TOKENIZER.encode("a")[0])
    assert not first.accepts(TOKENIZER.encode("a")[0])


def test_json_has_one_spelling() -> None:
    schema = '{"type":"object","properties":{"a":{"type":"boolean"},"b":{"enum":[1]}},"required":["a","b"]}'
    constraint = compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, schema), TOKENIZER)
    text = "".join(map(TOKENIZER.show, constraint.take_forced(99)))
    constraint.advance(TOKENIZER.encode("t")[0])
    text += "t" + "".join(map(TOKENIZER.show, constraint.take_forced(99)))
    assert text.startswith('{"a": true, "b": 1')


def test_the_end_must_be_allowed() -> None:
    constraint = compile_format(ResponseFormat(FormatKind.REGEX, "ab"), TOKENIZER)
    with pytest.raises(InvalidRequest, match="can't be followed further"):
        constraint.advance(min(TOKENIZER.end_ids))
