"""Texts in schemas: patterns as ECMA-262 reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_SPACES = r"\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_SPACE, _NO_SPACE = f"[{_SPACES}]", f"[^{_SPACES}]"
_PIECE = re.compile(r"\\[pPux]\{[^}]*\}|\\.|\[\^?\]?|\(\?(?:[:=!]|<[=!\w]|P<|[is]+[:)])?|[*+?}]\+|.", re.DOTALL)
_ALIKE = "dDwWsSnrtfvxuUpPAaz"  # letters that mean the same behind a backslash, here and in the check
_UNALIKE = ("(?", "*+", "++", "?+", "}+")


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
    return lost


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
