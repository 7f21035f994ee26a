"""A policy file to a frozen `Policy`, or an error that says where and what."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from triroute.router.errors import InvalidPolicy
from triroute.router.policy import document
from triroute.router.policy.vocabulary import PolicyFile


@dataclass(frozen=True, slots=True)
class Policy:
    """An active policy. `revision` is the SHA-256 of its meaning: order of keys, comments and aliases don't count."""

    file: PolicyFile
    revision: str

    @property
    def name(self) -> str:
        return self.file.metadata.name


def load(path: Path) -> Policy:
    """Read a policy file. Raises InvalidPolicy."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InvalidPolicy(f"{path}:1:1: can't be read: {error.strerror}; name a policy file") from error
    except UnicodeDecodeError as error:
        raise InvalidPolicy(f"{path}:1:1: is not UTF-8 text; save it as UTF-8") from error


def parse(text: str, source: str) -> Policy:
    """Parse a policy. Raises InvalidPolicy with `SOURCE:LINE:COLUMN: ...`, one line an error."""
    read = document.read(text, source)
    try:
        file = PolicyFile.model_validate(read.data)
    except ValidationError as error:
        by_place = {str(_real_path(read.data, detail["loc"])): detail for detail in reversed(error.errors())}
        raise InvalidPolicy("\n".join(_explain(read, detail) for detail in reversed(by_place.values()))) from error
    _check_rules(read, file)
    canonical = json.dumps(file.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True)
    return Policy(file, hashlib.sha256(canonical.encode()).hexdigest())


def _check_rules(read: document.Document, file: PolicyFile) -> None:
    seen: set[str] = set()
    for index, rule in enumerate(file.rules):
        if rule.id in seen:
            raise InvalidPolicy(f"{read.at(('rules', index, 'id'))}: rule id {rule.id!r} is used twice; rename one")
        seen.add(rule.id)
    last = file.rules[-1]
    if last.when is not None or last.enforcement != "enforce":
        raise InvalidPolicy(
            f"{read.at(('rules', len(file.rules) - 1))}: the last rule ({last.id}) must be unconditional and enforced, "
            "so that every step is decided; add a rule with `use` and no `when`"
        )


def _explain(read: document.Document, detail: ErrorDetails) -> str:
    """One line for people from one of pydantic's errors."""
    path = _real_path(read.data, detail["loc"])
    kind, asked = detail["type"], detail["loc"][-1] if detail["loc"] else ""
    rule = _rule(read.data, path)
    if kind == "extra_forbidden":
        path = (*path, "<key>")
        message = f"unknown key {asked!r}{_nearest(str(asked), _siblings(detail['loc']))}"
    elif kind == "missing":
        message = f"{asked!r} is missing; add it"
    elif kind in ("literal_error", "enum"):
        expected = str(detail.get("ctx", {}).get("expected", ""))
        words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        message = f"{detail['input']!r} is not one of {expected}{_nearest(str(detail['input']), words)}"
    else:
        message = detail["msg"].removeprefix("Value error, ")
        if not isinstance(detail["input"], dict | list):
            message += f", found {detail['input']!r}"
    named = ".".join(str(part) for part in path if part != "<key>" and not isinstance(part, int))
    return f"{read.at(path)}: {named + ': ' if named else ''}{message}{f' (rule {rule})' if rule else ''}"


def _real_path(data: Any, loc: tuple[int | str, ...]) -> document.Path:
    """pydantic names branches of unions in its paths; keep the parts that the file has."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(data, dict) and (part in data or last):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path)


def _rule(data: Any, path: document.Path) -> str:
    if len(path) < 2 or path[0] != "rules" or not isinstance(path[1], int):
        return ""
    rule = data["rules"][path[1]]
    return str(rule.get("id", f"number {path[1] + 1}")) if isinstance(rule, dict) else f"number {path[1] + 1}"


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known where `loc` ends, found in the JSON Schema."""
    schema = PolicyFile.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in loc[:-1]:
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        options = [option for option in node.get("anyOf", [node]) if "$ref" in option]
        if options:
            node = schema["$defs"][options[0]["$ref"].rsplit("/", 1)[1]]
    return list(node.get("properties", {}))


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}" if known else ""
