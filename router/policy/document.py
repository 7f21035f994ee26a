"""YAML text to plain data that remembers where each part stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]

_MERGE = "tag:yaml.org,2002:merge"
_MOST_NODES = 50_000
_MOST_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML in which, as in YAML 1.2, only true and false are booleans: `on`, `off` and `no` are words."""


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class NotADocument(Exception):
    """The text is not one plain YAML document. `str` of it says what is wrong at `line` and `column`."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Document:
    """`data` and, for each path in it, its line and column, from 1. A key's own place is at (path, key, "<key>")."""

    data: Any
    places: dict[Path, tuple[int, int]]

    def at(self, path: Path) -> tuple[int, int]:
        """Line and column of a path, or of the nearest part around it."""
        while path and path not in self.places:
            path = path[:-2] if path[-1] == "<key>" and path[:-1] in self.places else path[:-1]
        return self.places.get(path, (1, 1))


def read(text: str) -> Document:
    """Parse one YAML document. Raises NotADocument, with the place."""
    if len(text.encode(errors="replace")) > _MOST_BYTES:
        raise NotADocument(f"the file is over {_MOST_BYTES} bytes; is it a policy?")
    try:
        documents = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise NotADocument(f"not valid YAML: {error.problem or error.context}", line, column) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise NotADocument(f"not valid YAML: {error}") from error
    if len(documents) != 1 or documents[0] is None:
        raise NotADocument(f"expected one YAML document, found {len(documents)}")
    builder = _Builder()
    return Document(builder.build(documents[0], ()), builder.places)


class _Builder:
    """Nodes to data. Aliases and merge keys (`<<`) are expanded, within bounds; nothing else is."""

    def __init__(self) -> None:
        self.places: dict[Path, tuple[int, int]] = {}
        self._nodes = 0
        self._constructor = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(path) > 50:
            raise _at(node, "too large or too deep; are aliases nested?")
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise _at(key_node, f"keys are words; put {key!r} in quotes if it is one")
            if key in mapping:
                raise _at(key_node, f"{key!r} is given twice; keep one")
            mapping[key] = self.build(value_node, (*path, key))
            self.places[(*path, key, "<key>")] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self._merge(mapping, value_node, path)
        return mapping

    def _merge(self, mapping: dict[str, Any], node: yaml.Node, path: Path) -> None:
        """Keys of another mapping, or of several, where the mapping has none of its own."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise _at(source, "`<<` merges mappings; name an anchor of one")
            own = [(key, value) for key, value in source.value if key.value not in mapping]
            mapping |= self._mapping(yaml.MappingNode(source.tag, own, source.start_mark, source.end_mark), path)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise _at(node, str(getattr(error, "problem", None) or error)) from error


def _at(node: yaml.Node, message: str) -> NotADocument:
    return NotADocument(message, node.start_mark.line + 1, node.start_mark.column + 1)
