"""Fences of code in an output, in time that grows with its length alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = re.compile("```|~~~")
_LANGUAGE = re.compile(r"[\w+#.-]*")
_MOST_BEHIND = 500  # characters in the first line, after the language


@dataclass(frozen=True, slots=True)
class Fence:
    """One of a text, from its first mark to behind its last; one that is not closed goes to the text's end."""

    start: int
    end: int
    language: str
    content: str


def fences(text: str) -> Iterator[Fence]:
    """Those of a text, in order."""
    at, line_end = 0, -1
    while mark := _MARK.search(text, at):
        if line_end < mark.end():
            line_end = text.find("\n", mark.end())
        if line_end < 0:
            return
        language = text[mark.end() : _end_of_language(text, mark.end())]
        if line_end - mark.end() - len(language) > _MOST_BEHIND:
            at = mark.start() + 1
            continue
        closing = _MARK.search(text, line_end + 1)
        at = closing.end() if closing else len(text)
        content = (
            text[line_end + 1 : closing.start()].rstrip(" \t").removesuffix("\n") if closing else text[line_end + 1 :]
        )
        yield Fence(mark.start(), at, language, content)


def _end_of_language(text: str, start: int) -> int:
    found = _LANGUAGE.match(text, start)
    return found.end() if found else start
