"""Texts in schemas: patterns as ECMA-262 reads them, and formats by patterns that are as strict as the check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from triroute.engine.schemas.parts import add_part

_SPACES = r"\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_SPACE, _NO_SPACE = f"[{_SPACES}]", f"[^{_SPACES}]"
_PIECE = re.compile(r"\\[pPux]\{[^}]*\}|\\.|\[\^?\]?|\(\?(?:[:=!]|<[=!\w]|P<|[is]+[:)])?|[*+?}]\+|.", re.DOTALL)
_FOLDED, _NEGATED = re.compile(r"\(\?s?i"), re.compile(r"\[\^|\\[WDSP]")  # the check takes İ for an i
_ALIKE = "dDwWsSnrtfvxuUpPAaz"  # letters that mean the same behind a backslash, here and in the check
_UNALIKE = ("(?", "*+", "++", "?+", "}+")

_LEAP = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][48]|[2468]0|[13579][26])00)"
_YEAR = r"(\d{3}[1-9]|\d\d[1-9]\d|\d[1-9]\d\d|[1-9]\d{3})"
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
    rf"|{_LEAP}-02-29)"
)
_TIME = (  # a leap second ends a day of UTC, and is written in it
    r"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)|23:59:60(\.\d+)?([zZ]|[+-]00:00))"
)
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,31}"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}[tT]{_TIME}",
    "email": rf"{_ATOM}(\.{_ATOM})*@({_LABEL}(\.{_LABEL})*|\[{_BYTE}(\.{_BYTE}){{3}}\])",
    "hostname": rf"{_LABEL}(\.{_LABEL})*",
}
_LONGEST = {"email": 254, "hostname": 253}


def hold_texts(schema: dict[str, Any], types: Sequence[str]) -> list[str]:
    """Change `schema` to have patterns that the compiler reads as the check does; the keywords that are not held."""
    lost = list[str]()
    by_pattern = schema.get("patternProperties")
    if isinstance(by_pattern, dict):
        schema["patternProperties"] = {_said(pattern): inside for pattern, inside in by_pattern.items()}
        if not all(map(_is_alike, by_pattern)):
            lost.append("patternProperties")
    if types and "string" not in types:
        return lost
    if isinstance(schema.get("pattern"), str):
        if not _is_alike(schema["pattern"]):
            lost.append("pattern")
        schema["pattern"] = _said(schema["pattern"])
    return lost + _hold_format(schema)


def _hold_format(schema: dict[str, Any]) -> list[str]:
    name = schema.get("format")
    if not isinstance(name, str) or name not in _PATTERNS:
        return []
    if name in _LONGEST and "pattern" in schema:  # the compiler has no time for both
        return [f"format: {name}"]
    del schema["format"]
    exact: dict[str, Any] = {"pattern": f"^({_PATTERNS[name]})$"}
    if name in _LONGEST:
        exact["maxLength"] = _LONGEST[name]
    add_part(schema, exact)
    return []


def _pieces(pattern: str) -> Iterator[tuple[str, bool]]:
    """Each with whether it stands in a set: what opens one does not, and what closes it does."""
    inside = False
    for piece in _PIECE.findall(pattern):
        if inside and piece[0] == "[" and piece[-1] == "]":  # [a[] has no set in it
            yield piece[:-1], True
            yield "]", True
            inside = False
        else:
            yield piece, inside
            inside = piece != "]" if inside else piece[0] == "["


def _is_alike(pattern: str) -> bool:
    """Whether all of a pattern is of ECMA-262, or else read alike by the compiler and the check."""
    if _FOLDED.search(pattern) and _NEGATED.search(pattern):
        return False
    for piece, inside in _pieces(pattern):
        if piece in _UNALIKE and not inside:
            return False
        if piece[0] == "\\" and piece[1:2].isalpha() and piece[1] not in _ALIKE:
            return False
    return True


def _said(pattern: str) -> str:
    """A pattern with the spaces of ECMA-262, and without sets in sets, which it does not have."""
    said = list[str]()
    for piece, inside in _pieces(pattern):
        if piece in (r"\s", r"\S"):
            said.append(_SPACE if piece == r"\s" else _NO_SPACE)
        else:
            said.append("\\" + piece if inside and piece[0] in "[&~" else piece)
    return "".join(said)
