"""Structured output: which tokens a JSON Schema, a regular expression or a Lark grammar allows next (llguidance)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import FormatKind, ResponseFormat

_COMPILERS: dict[FormatKind, Callable[[str], str]] = {
    FormatKind.JSON_SCHEMA: LLMatcher.grammar_from_json_schema,
    FormatKind.REGEX: LLMatcher.grammar_from_regex,
    FormatKind.LARK: LLMatcher.grammar_from_lark,
}


class Constraint:
    """A grammar and how far the output has come in it."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allowed(self) -> NDArray[np.uint8]:
        """The tokens that the grammar can continue with, a bit each, lowest bit first, in whole 32-bit words.

        Raises EngineError at a grammar's limits.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8).copy()
        self._check()
        return bits

    def advance(self, token: int) -> None:
        """Take a token in. Raises EngineError when the grammar does not allow it."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise EngineError(f"the response format can't be followed further: {_first_line(self._matcher)}")


def compile_format(response_format: ResponseFormat, tokenizer: Tokenizer) -> Constraint:
    """A fresh constraint. Raises InvalidRequest when the format can't be compiled within llguidance's limits."""
    field = f"response_format.{response_format.kind.value}"
    try:
        grammar = _COMPILERS[response_format.kind](response_format.source)
    except ValueError as error:
        raise InvalidRequest(field, f"can't be read: {error}") from error
    matcher = LLMatcher(tokenizer.llguidance, grammar, log_level=0)
    if matcher.is_error():
        raise InvalidRequest(field, f"can't be compiled: {_first_line(matcher)}")
    return Constraint(matcher)


def _first_line(matcher: LLMatcher) -> str:
    return next(iter(str(matcher.get_error()).strip().splitlines()), "no reason given")
