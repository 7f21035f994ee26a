"""YAML text to plain data that remembers where each part stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from triroute.router.errors import InvalidPolicy

Path = tuple[str | int, ...]

_MOST_NODES = 50_000
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """`data` and, for each path in it, its line and column, from 1. A key's own place is at (path, key, "<key>")."""

    source: str
    data: Any
    places: dict[Path, tuple[int, int]]

    def at(self, path: Path) -> str:
        """`FILE:LINE:COLUMN` of a path, or of the nearest part around it."""
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return f"{self.source}:{line}:{column}"


def read(text: str, source: str) -> Document:
    """Parse one YAML document. Raises InvalidPolicy, with the place."""
    if len(text.encode()) > _MOST_BYTES:
        raise InvalidPolicy(f"{source}:1:1: the file is over {_MOST_BYTES} bytes; is it a policy?")
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidPolicy(f"{source}:{line}:{column}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidPolicy(f"{source}:1:1: not valid YAML: {error}") from error
    if len(documents) != 1 or documents[0] is None:
        raise InvalidPolicy(f"{source}:1:1: expected one YAML document, found {len(documents)}")
    builder = _Builder(source)
    return Document(source, builder.build(documents[0], ()), builder.places)


class _Builder:
    """Nodes to data. Aliases are expanded, within bounds."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[Path, tuple[int, int]] = {}
        self._nodes = 0
        self._constructor = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(path) > 50:
            raise InvalidPolicy(f"{self._where(node)}: too large or too deep; are aliases nested?")
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise InvalidPolicy(f"{self._where(key_node)}: keys are words; put {key!r} in quotes if it is one")
            if key in mapping:
                raise InvalidPolicy(f"{self._where(key_node)}: {key!r} is given twice; keep one")
            mapping[key] = self.build(value_node, (*path, key))
            self.places[(*path, key, "<key>")] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return mapping

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise InvalidPolicy(f"{self._where(node)}: {getattr(error, 'problem', None) or error}") from error

    def _where(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
