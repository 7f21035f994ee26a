"""Findings as text, JSON, SARIF 2.1.0 (code scanning) and GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from triroute.router.policy.findings import Finding, Severity


def text(findings: Sequence[Finding]) -> str:
    """A line a finding, and a count."""
    lines = [f"{one.place}: {one.severity.word}: {one.told} [{one.code}]" for one in findings]
    counts = [f"{sum(one.severity is level for one in findings)} {level.word}s" for level in Severity]
    return "\n".join([*lines, ", ".join(reversed(counts))])


def as_json(findings: Sequence[Finding]) -> str:
    """A list of {code, severity, file, line, column, rule, message, hint}."""
    return json.dumps([one.as_dict() for one in findings], indent=2)


def github(findings: Sequence[Finding]) -> str:
    """Workflow commands: they become annotations of the lines."""
    return "\n".join(
        f"::{'notice' if one.severity is Severity.NOTE else one.severity.word} "
        f"file={_property(one.file)},line={one.line},col={one.column},title={_property(one.code)}"
        f"::{_escaped(one.told)}"
        for one in findings
    )


def sarif(findings: Sequence[Finding]) -> str:
    """One run, one result a finding."""
    tool = {
        "name": "triroute policy lint",
        "version": version("triroute"),
        "rules": [{"id": code} for code in sorted({one.code for one in findings})],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    run = {"tool": {"driver": tool}, "results": [_result(one) for one in findings]}
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {
    "text": text,
    "json": as_json,
    "sarif": sarif,
    "github": github,
}


def _result(one: Finding) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column}
    place = {"artifactLocation": {"uri": one.file}, "region": region}
    return {
        "ruleId": one.code,
        "level": one.severity.word,
        "message": {"text": one.told},
        "locations": [{"physicalLocation": place}],
    }


def _escaped(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _escaped(words).replace(":", "%3A").replace(",", "%2C")
