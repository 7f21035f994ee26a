"""JSON against JSON Schemas, formats on: nothing is fetched, and no pattern takes longer than its share of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
import regex
from jsonschema import validators

from triroute.router.structured.where import offset_of

_PATTERN_SECONDS = 0.2
_LONGEST_PROBLEM = 200
_MOST_ERRORS = 64
_NO_ARGUMENTS = '{"type": "object", "additionalProperties": false}'


@dataclass(frozen=True, slots=True)
class Wrong:
    """Where a text is not what its schema asks for, and why. `keys` leads to the place; `broken`: it is no JSON."""

    keys: tuple[str | int, ...]
    problem: str
    broken: bool = False

    @property
    def path(self) -> str:
        """As a JSON path."""
        return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)


class Unjudged(Exception):
    """The schema can't say whether a value fits: it refers to itself without end, or a pattern takes too long."""


def wrong_in(text: str, schema: str) -> Wrong | None:
    """The first thing in a JSON text that is wrong; None when nothing is. Raises Unjudged."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        return Wrong((), "is nested too deep to be read", broken=True)
    except ValueError as unread:
        return Wrong((), f"is not JSON: {unread}", broken=True)
    try:
        errors = islice(_validator(schema or _NO_ARGUMENTS).iter_errors(value), _MOST_ERRORS)
        error = min(errors, key=lambda one: offset_of(text, one.absolute_path), default=None)
    except RecursionError as endless:
        raise Unjudged("the schema refers to itself without end") from endless
    except TimeoutError as slow:
        raise Unjudged(f"a pattern of the schema takes longer than {_PATTERN_SECONDS} s") from slow
    except (referencing.exceptions.Unresolvable, regex.error) as unknown:
        raise Unjudged(f"the schema can't be followed: {str(unknown)[:_LONGEST_PROBLEM]}") from unknown
    if error is None:
        return None
    return Wrong(tuple(error.absolute_path), f"{error.validator}: {error.message[:_LONGEST_PROBLEM]}")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(value, "string") and not _found(pattern, value):
        yield jsonschema.ValidationError(f"{value[:_LONGEST_PROBLEM]!r} does not match {pattern[:_LONGEST_PROBLEM]!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(value, "object"):
        for pattern, under in patterns.items():
            for name, item in value.items():
                if _found(pattern, name):
                    yield from validator.descend(item, under, path=name, schema_path=pattern)


def _found(pattern: str, text: str) -> bool:
    return regex.search(pattern, text, timeout=_PATTERN_SECONDS) is not None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    parsed = json.loads(schema)
    dialect = validators.validator_for(parsed, default=jsonschema.Draft202012Validator)
    kind = validators.extend(dialect, {"pattern": _pattern, "patternProperties": _pattern_properties})
    return kind(parsed, format_checker=dialect.FORMAT_CHECKER, registry=referencing.Registry())
