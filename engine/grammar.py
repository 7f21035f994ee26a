"""Structured output: which tokens a JSON Schema, a regular expression or a Lark grammar allows next (llguidance)."""

from __future__ import annotations

from collections.abc import Callable, Set

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import FormatKind, ResponseFormat

# JSON has one spelling, that of Python's `json.dumps` and of most training data, so that all but the values is forced.
_JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_COMPILERS: dict[FormatKind, Callable[[str], str]] = {
    FormatKind.JSON_SCHEMA: lambda source: LLMatcher.grammar_from_json_schema(source, defaults=_JSON_STYLE),
    FormatKind.REGEX: LLMatcher.grammar_from_regex,
    FormatKind.LARK: LLMatcher.grammar_from_lark,
}


class Constraint:
    """A grammar and how far the output has come in it. The end of the output is never told to the matcher."""

    def __init__(self, matcher: LLMatcher, end_ids: Set[int]) -> None:
        self._matcher = matcher
        self._end_ids = end_ids
        self._ended = False
        self._bits: NDArray[np.uint8] | None = None  # of the present place, once asked for

    def allowed(self) -> NDArray[np.uint8]:
        """The tokens that the grammar can continue with, a bit each, lowest bit first, in whole 32-bit words.

        Raises EngineError at a grammar's limits.
        """
        if self._bits is None:
            self._bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            self._check()
        return self._bits

    def accepts(self, token: int) -> bool:
        """Whether the grammar can continue with `token`."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def advance(self, token: int) -> None:
        """Take a token in. Raises EngineError when the grammar does not allow it."""
        self._bits = None
        if token not in self._end_ids:
            self._matcher.consume_token(token)
            self._check()
        elif self._matcher.is_accepting():
            self._ended = True
        else:
            raise EngineError("the output ended before its response format did")

    def take_forced(self, most: int) -> tuple[int, ...]:
        """Take in what the grammar leaves no choice about, at most so many tokens.

        That is what must be spelled, as the tokenizer spells it, or the one token that is allowed.
        """
        taken: list[int] = []
        while not self._ended:
            run = (self._matcher.compute_ff_tokens() or self._only())[: most - len(taken)]
            if not run:
                break
            for token in run:
                self.advance(token)
            taken += run
        return tuple(taken)

    def back(self, count: int) -> None:
        """Give the last `count` tokens back."""
        self._bits = None
        count, self._ended = count - self._ended, False
        if count:
            self._matcher.rollback(count)
            self._check()

    def _only(self) -> list[int]:
        """The one token that is allowed, where there is but one."""
        bits = int.from_bytes(self.allowed().data, "little")  # one look at a whole number, where NumPy makes an array
        return [bits.bit_length() - 1] if bits and not bits & (bits - 1) else []

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
    return Constraint(matcher, tokenizer.end_ids)


def warm_up(tokenizer: Tokenizer) -> None:
    """Build what all constraints share, so that no request waits for it."""
    compile_format(ResponseFormat(FormatKind.REGEX, "a"), tokenizer).allowed()


def _first_line(matcher: LLMatcher) -> str:
    return next(iter(str(matcher.get_error()).strip().splitlines()), "no reason given")
