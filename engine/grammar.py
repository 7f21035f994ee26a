"""Structured output: which tokens a JSON Schema, a regular expression or a Lark grammar allows next (llguidance)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from triroute.engine.errors import InvalidRequest
from triroute.engine.schemas import hold
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.trial import DEAD_END, LIMITS, short
from triroute.engine.types import FormatKind, ResponseFormat

# JSON has one spelling, that of Python's `json.dumps` and of most training data, so that all but the values is forced.
# What the compiler can't do it leaves out, and says so.
JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
_CHARACTERS = 262_144  # of a format's source
_KEPT = 64  # compiled grammars
_KEYS = "Unimplemented keys: "
_QUOTED = re.compile(r'"([^"\\]+)"')
_FORMAT = "Unknown format: "
_NONE = b"\0"  # a byte of a mask that allows none of its tokens
_COUNTS = ("minProperties", "maxProperties")  # how warnings of them begin: min/maxProperties
_COMPILERS: dict[FormatKind, Callable[[str], str]] = {
    FormatKind.REGEX: LLMatcher.grammar_from_regex,
    FormatKind.LARK: LLMatcher.grammar_from_lark,
}


class Constraint:
    """A grammar and how far the output has come in it. The end of the output is never told to the matcher.

    `field` is where the request has it; `unenforced`: the keywords of its schemas that it does not hold the output to.
    """

    def __init__(self, matcher: LLMatcher, end_ids: Set[int], field: str, unenforced: tuple[str, ...] = ()) -> None:
        self.unenforced = unenforced
        self._field = field
        self._matcher = matcher
        self._end_ids = end_ids
        self._ended = False
        self._mask = b""  # of the present place, once asked for
        self._bits: NDArray[np.uint8] | None = None  # the same

    def copy(self) -> Constraint:
        """Another one, at the same place."""
        return Constraint(self._matcher.deep_copy(), self._end_ids, self._field, self.unenforced)

    def allowed(self) -> NDArray[np.uint8]:
        """The tokens that the grammar can continue with, a bit each, lowest bit first, in whole 32-bit words.

        Raises InvalidRequest where the grammar allows nothing, or passes llguidance's limits.
        """
        if self._bits is None:
            self._mask = self._matcher.compute_bitmask()
            self._bits = np.frombuffer(self._mask, dtype=np.uint8)
            self._check()
        return self._bits

    def accepts(self, token: int) -> bool:
        """Whether the grammar can continue with `token`."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def advance(self, token: int) -> None:
        """Take a token in. Raises InvalidRequest when the grammar does not allow it, or as `allowed`."""
        self._bits = None
        if token not in self._end_ids:
            self._matcher.consume_token(token)
            self._check()
        elif self._matcher.is_accepting():
            self._ended = True
        else:
            raise self._stuck(DEAD_END)

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
        self.allowed()
        upto = self._mask.rstrip(_NONE)
        last = upto.lstrip(_NONE)
        alone = len(last) == 1 and last[0].bit_count() == 1
        return [8 * (len(upto) - 1) + last[0].bit_length() - 1] if alone else []

    def _check(self) -> None:
        if self._matcher.is_error():
            raise self._stuck(short(self._matcher.get_error()))

    def _stuck(self, why: str) -> InvalidRequest:
        return InvalidRequest(self._field, f"can't be followed further than the output has come: {why}; simplify it")


def compile_format(response_format: ResponseFormat, tokenizer: Tokenizer) -> Constraint:
    """A fresh constraint. Raises InvalidRequest when the format can't be compiled within limits."""
    field, length = f"response_format.{response_format.kind.value}", len(response_format.source)
    if length > _CHARACTERS:
        raise InvalidRequest(field, f"has {length} characters, over the most of {_CHARACTERS}; shorten it")
    return compiled(response_format, field, tokenizer)


def compiled(response_format: ResponseFormat, field: str, tokenizer: Tokenizer) -> Constraint:
    """The same for a format that came in `field`."""
    made = _compile(response_format, tokenizer)
    if made.matcher is None:
        raise InvalidRequest(field, made.problem)
    return Constraint(made.matcher.deep_copy(), tokenizer.end_ids, field, made.unenforced)


def styled(schema: Any) -> str:
    """A JSON Schema's text with the spelling of JSON that outputs have, whatever its author says of that."""
    return json.dumps({**schema, "x-guidance": JSON_STYLE} if isinstance(schema, dict) else schema)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A grammar at its beginning, or what is wrong with it."""

    matcher: LLMatcher | None
    unenforced: tuple[str, ...] = ()
    problem: str = ""


@lru_cache(maxsize=_KEPT)
def _compile(response_format: ResponseFormat, tokenizer: Tokenizer) -> _Compiled:
    try:
        grammar, lost = _grammar(response_format)
    except (ValueError, RecursionError) as error:
        return _Compiled(None, problem=f"can't be read: {error}")
    verdict = tokenizer.trials.verdict(grammar)
    if verdict.problem:
        return _Compiled(None, problem=f"can't be compiled: {verdict.problem}")
    matcher = LLMatcher(tokenizer.llguidance, grammar, log_level=0, limits=LIMITS)
    matcher.compute_bitmask()  # builds what a lexer needs
    return _Compiled(matcher, distinct((*lost, *_unenforced(verdict.warnings, response_format.source))))


def _grammar(response_format: ResponseFormat) -> tuple[str, tuple[str, ...]]:
    """What llguidance compiles, and the keywords that were left out of it."""
    if response_format.kind is not FormatKind.JSON_SCHEMA:
        return _COMPILERS[response_format.kind](response_format.source), ()
    held = hold(response_format.source)
    return LLMatcher.grammar_from_json_schema(styled(held.schema)), held.unenforced


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(names))


def _unenforced(warnings: Iterable[str], source: str) -> list[str]:
    """The keywords in a grammar's schemas that it does not hold an output to."""
    found: list[str] = []
    for warning in warnings:
        line = next(iter(warning.strip().splitlines()), "")
        if line.startswith(_KEYS):
            found += _QUOTED.findall(line)
        elif line.startswith(_FORMAT):
            found.append(f"format: {line.removeprefix(_FORMAT)}")
        elif line.startswith("min/maxProperties"):
            found += [name for name in _COUNTS if name in source]
        else:
            found.append("oneOf" if line.startswith("oneOf") else line)
    return found


def warm_up(tokenizer: Tokenizer) -> None:
    """Build what all constraints share, so that no request waits for it."""
    compile_format(ResponseFormat(FormatKind.REGEX, "a"), tokenizer).allowed()
