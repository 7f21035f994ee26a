"""Patterns as ECMA-262 reads them with the flag `u`, in the words of the package regex.

There, `\\d`, `\\w` and `\\b` are of ASCII, `\\s` has spaces of its own, no set has sets in it, and `$` is the very end.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PIECE = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?|.", re.DOTALL)
_LINES = re.compile(r"\(\?[a-zA-Z]*m")  # a flag that ECMA-262 does not have, by which $ ends any line
_WORD = "0-9A-Za-z_"
_SETS = {
    r"\d": "0-9",
    r"\D": "\\x00-/:-\U0010ffff",
    r"\w": _WORD,
    r"\W": "\\x00-/:-@\\[-\\^`{-\U0010ffff",
    r"\s": r"\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff",
    r"\S": "\\x00-\\x08\\x0e-\\x1f!-\\x9f\\xa1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e"
    "\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\U0010ffff",
}
_OUTSIDE = {
    r"\b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    r"\B": f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))",
    "$": r"\Z",
}


@lru_cache(maxsize=64)
def said(pattern: str) -> str:
    """A pattern for `regex.search`."""
    pieces = _PIECE.findall(pattern)
    by_line = _LINES.search(pattern) is not None
    words, inside = list[str](), False
    for place, piece in enumerate(pieces):
        beside = (*pieces[max(place - 1, 0) : place], *pieces[place + 1 : place + 2])
        if piece in _SETS:
            words.append(_SETS[piece] if inside else f"[{_SETS[piece]}]")
        elif not inside:
            inside = piece[0] == "["
            words.append(piece if by_line and piece == "$" else _OUTSIDE.get(piece, piece))
        elif piece[0] == "[":  # itself, and what closes the set may follow
            words.append("\\" + piece)
            inside = piece[-1] != "]"
        else:
            words.append("\\-" if piece == "-" and any(one in _SETS for one in beside) else piece)
            inside = piece != "]"
    return "".join(words)
