"""`triroute policy lint`: what is wrong with policies, and what is likely to be."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triroute.router.cli.exits import BELOW_THE_BAR, INVALID_POLICY
from triroute.router.policy.findings import Finding, Severity
from triroute.router.policy.lint import lint as find
from triroute.router.policy.lint.report import FORMATS
from triroute.router.policy.load import check, read_or_find
from triroute.router.policy.testing import beside, read_suite, run


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


class Bar(StrEnum):
    """The least severity that fails."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


def lint(
    files: Annotated[list[Path], typer.Argument(help="Policy files.", show_default=False)],
    format_: Annotated[Format, typer.Option("--format", help="How findings are written.")] = Format.TEXT,
    fail_on: Annotated[Bar, typer.Option(help="The least severity that fails.")] = Bar.ERROR,
) -> None:
    """Find mistakes, dead rules, risky mixes and settings that nothing runs. Exit code 3 or 5 where there are any."""
    found = [_findings(file) for file in files]
    findings = [finding for _, ours in found for finding in ours]
    sys.stdout.write(FORMATS[format_](findings) + "\n")
    if not all(valid for valid, _ in found):
        raise typer.Exit(INVALID_POLICY)
    if any(finding.severity >= Severity[fail_on.name] for finding in findings):
        raise typer.Exit(BELOW_THE_BAR)


def _findings(file: Path) -> tuple[bool, tuple[Finding, ...]]:
    """Whether the file is a policy at all, and what there is to say."""
    text, source = read_or_find(file), str(file)
    if isinstance(text, Finding):
        return False, (text,)
    checked = check(text, source)
    if checked.policy is None:
        return False, checked.findings
    tests = beside(file)
    if tests.exists():
        reached = run(checked.policy, read_suite(tests).tests).reached
        return True, find(text, source, tested=reached, folder=file.parent)
    hint = f"write {tests.name}; `triroute policy test` runs it"
    none = Finding("no-tests", Severity.NOTE, source, 1, 1, "", "the policy has no tests", hint)
    return True, (none, *find(text, source, folder=file.parent))
