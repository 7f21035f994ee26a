"""Constraints allow exactly what their grammar does, and bad ones end as errors."""

from __future__ import annotations

import numpy as np
import pytest

from triroute.engine.errors import EngineError, InvalidRequest
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
    with pytest.raises(EngineError, match="response format"):
        constraint.advance(TOKENIZER.encode("z")[0])


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (FormatKind.REGEX, "(["),
        (FormatKind.LARK, "start: missing_rule"),
        (FormatKind.JSON_SCHEMA, "{"),
        (FormatKind.JSON_SCHEMA, '{"type": "no such type"}'),
        (FormatKind.REGEX, "(" * 300 + "a{1,1000}" + "){1,1000}" * 300),
    ],
)
def test_bad_formats(kind: FormatKind, source: str) -> None:
    with pytest.raises(InvalidRequest, match=f"response_format.{kind.value}"):
        compile_format(ResponseFormat(kind, source), TOKENIZER)
