"""Numbers in schemas: the compiler has floats and integers of 64 bits for them, and writes what those are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from triroute.engine.schemas.parts import add_part

_WHOLE = 2**53  # floats have every integer below
_LONG = 10**18  # bounds of more digits don't compile
_LEAST, _MOST = -(2**63) + 1024, 2**63 - 1  # bounds of all integers that the compiler can do
_MOST_FACTOR = 2**32 - 1
_BOUNDS = {  # and what may say, in draft 4, that they are exclusive
    "minimum": "exclusiveMinimum",
    "maximum": "exclusiveMaximum",
    "exclusiveMinimum": "exclusiveMinimum",
    "exclusiveMaximum": "exclusiveMaximum",
}
_NUMBERS = {"number", "integer"}


class Written(float):
    """A number with a point or an exponent, and the digits that it was written with."""

    digits: str

    def __new__(cls, digits: str) -> Written:
        one = super().__new__(cls, digits)
        one.digits = digits
        return one


def hold_numbers(schema: dict[str, Any], types: Sequence[str], *, whole: bool) -> list[str]:
    """Change `schema` to have no number that the compiler would take for another; the keywords that lost one.

    `whole`: something in the document asks for an integer.
    """
    lost = list[str]()
    for keyword in ("const", "enum"):
        if keyword in schema and not _is_held(schema[keyword], whole=whole):
            _loosen(schema, keyword, whole=whole)
            lost.append(keyword)
    if types and not _NUMBERS.intersection(types):
        return lost
    bounds = {keyword: _told(schema, keyword, types) for keyword in _BOUNDS if _is_number(schema.get(keyword))}
    for keyword, bound in bounds.items():
        if bound is None or (None in bounds.values() and bound != schema[keyword]):  # what is between may be beyond
            del schema[keyword]
            lost.append(keyword)
        else:
            schema[keyword] = bound
    if _is_number(schema.get("multipleOf")) and not _is_factor(schema["multipleOf"]):
        del schema["multipleOf"]
        lost.append("multipleOf")
    return lost


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exact(value: Any) -> Decimal | None:
    try:
        return Decimal(value.digits if isinstance(value, Written) else value)
    except InvalidOperation:  # an exponent that no one counts to
        return None


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _is_short(value: Any) -> bool:
    """Whether the digits of its float are its own."""
    return Decimal(repr(_float(value))) == _exact(value)


def _is_held(value: Any, *, whole: bool) -> bool:
    """Whether a constant is what it says, with all that is in it."""
    match value:
        case list():
            return all(_is_held(item, whole=whole) for item in value)
        case dict():
            return all(_is_held(item, whole=whole) for item in value.values())
        case bool() | str() | None:
            return True
        case int() if abs(value) <= _MOST:
            return min(int(float(value)), _MOST) == value
    return _is_short(value) and (abs(value) <= _WHOLE or not whole)


def _loosen(schema: dict[str, Any], keyword: str, *, whole: bool) -> None:
    """Put in the place of constants what holds all of them but their numbers that no grammar can have."""
    values = schema.pop(keyword)
    values = values if keyword == "enum" and isinstance(values, list) else [values]
    add_part(schema, {"anyOf": [_shape(value, whole=whole) for value in values]})


def _shape(value: Any, *, whole: bool) -> dict[str, Any]:
    if _is_held(value, whole=whole):
        return {"const": value}
    if isinstance(value, list):
        items = [_shape(item, whole=whole) for item in value]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if isinstance(value, dict):
        inside = {name: _shape(item, whole=whole) for name, item in value.items()}
        return {"type": "object", "properties": inside, "required": list(inside), "additionalProperties": False}
    return {"type": "integer" if isinstance(value, int) else "number"}


def _told(schema: dict[str, Any], keyword: str, types: Sequence[str]) -> Any:
    """What of a bound the compiler is told: the same, for integers beyond its own the last of those, or nothing."""
    value, other = schema[keyword], _BOUNDS[keyword]
    exact, inclusive = _exact(value), keyword != other and schema.get(other) is not True
    if _is_short(value) and abs(value) < _WHOLE:
        return value
    if _is_short(value) and abs(value) < _LONG and inclusive and int(_float(value)) == exact:
        return value
    if exact is None or _NUMBERS.intersection(types) != {"integer"}:
        return None
    if keyword in ("maximum", "exclusiveMaximum"):
        return _MOST if exact > _MOST or (exact == _MOST and inclusive) else None
    return _LEAST if exact < _LEAST or (exact == _LEAST and inclusive) else None


def _is_factor(value: Any) -> bool:
    """Whether the compiler reads it right: it counts by how many tens it must multiply until the float is whole."""
    factor, places = abs(_float(value)), 0
    while factor < _MOST_FACTOR and not factor.is_integer():
        factor, places = factor * 10, places + 1
    exact = _exact(value)
    return 0 < factor <= _MOST_FACTOR and exact is not None and Decimal(int(factor)).scaleb(-places) == abs(exact)
