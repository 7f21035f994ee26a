"""Llama's pythonic calls: `[get_weather(city="Bern", days=[1, 2]), now()]`."""

from __future__ import annotations

import json
import re
import sys

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[A-Za-z_][\w.-]*|[\w.-]+(?=\())"""
    r"""|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<mark>[\[\](){},:=]))\s*""",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"""\\(?:(?P<code>u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5}|x[0-9a-fA-F]{2})|(?P<octal>[0-7]{1,3})|(?P<other>.))""",
    re.DOTALL,
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "\n": ""}
_ESCAPED |= {itself: itself for itself in "\\'\""}
_WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_MARK = re.compile(rb"""["'\\\[\](){}]""")
_OPENING, _STRING_ENDS = b"[({", b"\"'"


class PythonScan:
    """Follows a list of calls as it comes, to its closing bracket."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = b""
        self._escaped = False

    def feed(self, text: bytes | bytearray, at: int) -> tuple[int, bool]:
        """Go on from `at`. Where it stands then, and whether the list has ended there."""
        while at < len(text):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = _MARK.search(text, at)
            if found is None:
                break
            at, mark = found.end(), bytes(found.group())
            if mark == b"\\":
                self._escaped = bool(self._quote)
            elif self._quote:
                self._quote = b"" if mark == self._quote else self._quote
            elif mark in _STRING_ENDS:
                self._quote = mark
            else:
                self._depth += 1 if mark in _OPENING else -1
                if self._depth <= 0:
                    return at, True
        return len(text), False


def calls_in(text: str) -> list[tuple[str, str]] | None:
    """Name and arguments, JSON text, of each call in a list; None where it is none."""
    try:
        written = json.loads(_as_json(text))
    except (ValueError, RecursionError):
        return None
    return [(name, json.dumps(arguments, ensure_ascii=False)) for name, arguments in written]


def _as_json(text: str) -> str:
    """The list with each call as `["NAME", {ARGUMENTS}]`. Raises ValueError for what has another form."""
    said: list[str] = []
    closings: list[str] = []
    at, before = 0, ""
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError
        at, kind, token = found.end(), found.lastgroup, found[found.lastgroup or 0]
        if len(closings) == 1 and not (kind == "word" and text[at : at + 1] == "(") and token not in "(],":
            raise ValueError  # something else than calls
        if kind == "string":
            said.append(_string(token))
        elif kind == "word" and text[at : at + 1] and text[at] in "(=":
            said.append(f"[{json.dumps(token)}, " if text[at] == "(" else json.dumps(token))
        elif kind == "word":
            said.append(_WORDS.get(token, "?"))  # any other name is no value, in JSON neither
        elif token in ("[", "{", "("):
            if (token == "(") != (len(closings) == 1 and before == "word"):
                raise ValueError
            closings.append({"[": "]", "{": "}", "(": ")"}[token])
            said.append("{" if token == "(" else token)
        elif token in ("]", "}", ")"):
            if not closings or closings.pop() != token:
                raise ValueError
            said.append("}]" if token == ")" else token)
        else:
            said.append(":" if token == "=" else token)
        before = kind or ""
    return "".join(said)


def _string(token: str) -> str:
    """As JSON. Surrogates, as JavaScript would write them, make up their character."""
    said = _ESCAPE.sub(_unescaped, token[1:-1])
    return json.dumps(said.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), ensure_ascii=False)


def _unescaped(found: re.Match[str]) -> str:
    """What Python reads; what is no escape stays as it is."""
    if found["code"]:
        code = int(found["code"][1:], 16)
        return chr(code) if code <= sys.maxunicode else found.group()
    return chr(int(found["octal"], 8)) if found["octal"] else _ESCAPED.get(found["other"], found.group())
