"""The contracts: every field explained, and one meaning for zero."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROTOS = sorted((Path(__file__).parents[2] / "proto").glob("*.proto"))
_DECLARATION = re.compile(r"^\s*(message|enum|rpc|oneof|service|optional|repeated|map<|[\w.]+ \w+ = \d+|[A-Z_]+ = \d+)")


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_everything_is_commented(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if _DECLARATION.match(line)
        and not line.startswith(("syntax", "package", "import"))
        and not lines[number - 2].strip().startswith("//")
    ]
    assert not bare


def test_there_are_some() -> None:
    names = {"audit", "chat", "decoding", "engine", "path", "policy_admin", "router"}
    assert {path.stem for path in PROTOS} == names
