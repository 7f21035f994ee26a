"""The policies that ship: they fit their schemas, pass their tests, and lint has nothing to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from triroute.router.policy import DEFAULT, load, vocabulary
from triroute.router.policy.lint import lint
from triroute.router.policy.testing import beside, read_suite, run
from triroute.router.policy.testing import vocabulary as tests_vocabulary

FOLDER = DEFAULT.parent
POLICIES = [FOLDER / f"{name}.yaml" for name in ("default", "latency-first", "strict-audit", "high-load")]
SCHEMAS = {"policy.v1.json": vocabulary.json_schema(), "policy_test.v1.json": tests_vocabulary.json_schema()}


def test_none_is_forgotten() -> None:
    found = {path for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_test")}
    assert found == set(POLICIES)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_policy(policy: Path) -> None:
    suite, text = read_suite(beside(policy)), policy.read_text(encoding="utf-8")
    outcome = run(load(policy), suite.tests)
    assert [result.problems for result in outcome.results if result.problems] == []
    assert len(outcome.results) >= 10
    assert outcome.coverage == 1.0
    assert lint(text, policy.name, tested=outcome.reached) == ()
    for file, schema in zip((policy, beside(policy)), SCHEMAS, strict=True):
        content = file.read_text(encoding="utf-8")
        assert content.startswith(f"# yaml-language-server: $schema=schema/{schema}\n")
        jsonschema.validate(yaml.safe_load(content), SCHEMAS[schema])


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_current_and_describes_every_field(name: str) -> None:
    """Regenerate with the commands in CONTRIBUTING.md."""
    assert json.loads((FOLDER / "schema" / name).read_text(encoding="utf-8")) == SCHEMAS[name]
    assert list(_undescribed(SCHEMAS[name], "")) == []


def _undescribed(node: Any, path: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    fields = node.get("properties", {}).items()
    bare = [f"{path}.{key}" for key, value in fields if "description" not in value]
    return bare + [found for key, value in node.items() for found in _undescribed(value, f"{path}.{key}")]
