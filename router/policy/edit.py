"""Changes to a policy's text that leave all of the rest as it stands, comments included."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import yaml

from triroute.router.policy import document
from triroute.router.policy.document import Document, Path

_SCALAR = re.compile(r"""(?:[&!]\S*\s+)*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,\[\]{}#]+)""")


def changed(text: str, path: Path, value: Any) -> str | None:
    """The text with another number or word at `path`; a key that is not there, or merged, is added after one that is.

    None where that can't be done without touching anything else, as in a mapping that an anchor shares.
    """
    read = document.read(text)
    mapping = _at(read.data, path[:-1])
    if not isinstance(mapping, dict) or not isinstance(path[-1], str):
        return None
    wanted = copy.deepcopy(read.data)
    _at(wanted, path[:-1])[path[-1]] = value
    options = (*_replaced(text, read, path, value), *_added(text, read, path, mapping, value))
    return next((option for option in options if _means(option, wanted)), None)


def _replaced(text: str, read: Document, path: Path, value: Any) -> list[str]:
    """In place of what stands there."""
    span = _span(text, read, path)
    return [text[: span[0]] + json.dumps(value).strip('"') + text[span[1] :]] if span else []


def _added(text: str, read: Document, path: Path, mapping: dict[str, Any], value: Any) -> list[str]:
    """After each key that has a scalar, in flow style and in block style."""
    options, entry = [], f"{path[-1]}: {json.dumps(value).strip(chr(34))}"
    for key, other in mapping.items():
        span = _span(text, read, (*path[:-1], key)) if not isinstance(other, dict | list) else None
        if span:
            indent = " " * (read.at((*path[:-1], key, "<key>"))[1] - 1)
            options.append(f"{text[: span[1]]}, {entry}{text[span[1] :]}")
            end = text.find("\n", span[1])
            end = len(text) if end < 0 else end
            options.append(f"{text[:end]}\n{indent}{entry}{text[end:]}")
    if not mapping:
        options += [text[:at] + "{" + entry + "}" + text[at + 2 :] for at in _offsets(text, read, path[:-1], "{}")]
    return options


def _span(text: str, read: Document, path: Path) -> tuple[int, int] | None:
    """Where a scalar begins and ends, if it stands there as the data has it."""
    if path not in read.places:
        return None
    found = _SCALAR.match(text, _offset(text, read.places[path]))
    try:
        if found is None or yaml.safe_load(found["value"]) != _at(read.data, path):
            return None
    except yaml.YAMLError:
        return None
    return found.span("value")


def _offsets(text: str, read: Document, path: Path, token: str) -> list[int]:
    at = _offset(text, read.at(path))
    return [at] if text.startswith(token, at) else []


def _offset(text: str, place: tuple[int, int]) -> int:
    line, column = place
    return sum(len(one) for one in text.splitlines(keepends=True)[: line - 1]) + column - 1


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _means(text: str, wanted: Any) -> bool:
    try:
        return bool(document.read(text).data == wanted)
    except document.NotADocument:
        return False
