"""The dialects of JSON Schema: which keywords, patterns, formats and numbers there are, in one meaning everywhere.

Importing it puts these in place of jsonschema's own, for whatever `$schema` inside a schema may name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import jsonschema
import referencing
from jsonschema import FormatChecker, ValidationError, _keywords, _legacy_keywords, _utils, validators

from triroute.router.structured.formats import FORMATS, read_pattern
from triroute.router.structured.patterns import said

PATTERN_SECONDS = 0.2
MOST_DIGITS = 4_300  # of a number: reading one takes the square of its digits

_VERSIONS = {
    "draft3": jsonschema.Draft3Validator,
    "draft4": jsonschema.Draft4Validator,
    "draft6": jsonschema.Draft6Validator,
    "draft7": jsonschema.Draft7Validator,
    "draft2019-09": jsonschema.Draft201909Validator,
    "draft2020-12": jsonschema.Draft202012Validator,
}


class UnreadNumber(ValueError):
    """A number has more digits than are read."""

    def __init__(self) -> None:
        super().__init__(f"has a number of over {MOST_DIGITS} digits")


class UnknownDialect(ValueError):
    """`$schema` names a dialect that is not followed."""


def read(text: str) -> Any:
    """The value of a JSON text. Raises UnreadNumber, another ValueError where it is no JSON, and RecursionError."""
    return json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=refuse)


def refuse(name: str) -> None:
    """What Python reads as a number beside JSON's."""
    raise ValueError(f"{name} is no number in JSON")


def validator_of(schema: Any) -> Any:
    """Judges values by a schema. Only references inside it are followed. Raises UnknownDialect."""
    return _kind(schema)(schema, format_checker=_FORMATS, registry=referencing.Registry())


def validator_of_schemas(schema: Any) -> Any:
    """Judges whether schemas are schemas, in this one's dialect. Raises UnknownDialect."""
    return _OF_SCHEMAS[_kind(schema)]


def _kind(schema: Any) -> Any:
    """What `$schema` names, or else the newest."""
    named = schema.get("$schema") if isinstance(schema, dict) else None
    kind = _KINDS.get(named.rstrip("#") if isinstance(named, str) else "", _NEWEST)
    if kind is _OLDEST:
        raise UnknownDialect("is of draft 3, whose keywords no grammar knows; use draft 4 or a newer one")
    return kind


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise UnreadNumber
    return int(digits)


class _Real(Decimal):
    """A number that is not whole, by its digits."""

    def __repr__(self) -> str:
        return str(self)


def _real(digits: str) -> _Real | int:
    """Exact, as numbers are equal by value: 1e2 is 100."""
    try:
        exact = _Real(digits)
    except InvalidOperation as beyond:
        raise UnreadNumber from beyond
    if abs(exact.adjusted()) >= MOST_DIGITS or len(digits) > MOST_DIGITS:
        raise UnreadNumber
    whole = int(exact)
    return whole if whole == exact else exact


class _Patterns:
    """What jsonschema uses of Python's `re`, which knows no \\p{…}, and takes whatever time it takes."""

    @staticmethod
    def search(pattern: str, text: str) -> Any:
        return read_pattern(said(pattern)).search(text, timeout=PATTERN_SECONDS)


def _additional(value: Any, schema: Any) -> Iterator[str]:
    """The names that neither `properties` nor `patternProperties` have. A pattern may be empty, and matches all."""
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in value:
        if name not in properties and not any(_Patterns.search(pattern, name) for pattern in patterns):
            yield name


def _multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    """By the digits that are written: 19.99 is a multiple of 0.01."""
    if validator.is_type(value, "number") and (Fraction(repr(value)) / Fraction(repr(factor))).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {factor}")


def _unique_items(validator: Any, asked: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if asked and validator.is_type(value, "array") and len({_key(item) for item in value}) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _key(value: Any) -> Any:
    """Equal for values that are equal in JSON, and for no others."""
    match value:
        case bool():
            return bool, value
        case list():
            return list, tuple(_key(item) for item in value)
        case dict():
            return dict, frozenset((name, _key(item)) for name, item in value.items())
    return value


def _checker(names: Iterable[str]) -> FormatChecker:
    checker = FormatChecker(())
    for name in names:
        checker.checks(name)(lambda value, fits=FORMATS[name]: not isinstance(value, str) or fits(value))
    return checker


def _named(kind: Any) -> str:
    return str(kind.META_SCHEMA.get("$id") or kind.META_SCHEMA["id"]).rstrip("#")


for _module in (_keywords, _legacy_keywords, _utils):
    _module.re = _Patterns  # type: ignore[attr-defined]
_keywords.find_additional_properties = _additional  # type: ignore[attr-defined]

_FORMATS = _checker(FORMATS)
_KEYWORDS = {"multipleOf": _multiple_of, "uniqueItems": _unique_items}
_KINDS = {_named(kind): validators.extend(kind, _KEYWORDS, version) for version, kind in _VERSIONS.items()}
_OLDEST, _NEWEST = (_KINDS[_named(kind)] for kind in (jsonschema.Draft3Validator, jsonschema.Draft202012Validator))
_OF_SCHEMAS = {kind: kind(kind.META_SCHEMA, format_checker=_checker(["regex"])) for kind in _KINDS.values()}
