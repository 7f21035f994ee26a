"""`triroute policy lint`: everything wrong with a policy, and everything likely to be, each at its place."""

from __future__ import annotations

from pathlib import Path

from triroute.router.policy.document import Document
from triroute.router.policy.findings import Finding
from triroute.router.policy.lint import checks
from triroute.router.policy.lint.checks import Capabilities, Found
from triroute.router.policy.lint.reach import Reaches
from triroute.router.policy.lint.rollout import rollout
from triroute.router.policy.load import check
from triroute.router.policy.vocabulary import PolicyFile

__all__ = ["Capabilities", "lint"]


def lint(
    text: str,
    source: str,
    *,
    engine: Capabilities | None = None,
    tested: frozenset[str] | None = None,
    folder: Path | None = None,
) -> tuple[Finding, ...]:
    """All findings, by place. `tested`: the rules that test cases reach; None where there are no tests.

    `folder`: where the policy's file is; None leaves its candidate aside.
    """
    checked = check(text, source)
    if checked.policy is None:
        return checked.findings
    file = checked.policy.file
    reaches = Reaches(file)
    found = [
        *checks.proofs(file, reaches),
        *checks.limits(file),
        *checks.flapping(file),
        *checks.sessions(file),
        *checks.rates(file),
        *checks.unsupported(file, engine or Capabilities()),
        *checks.risks(file, reaches),
        *checks.whole(file, reaches),
        *rollout(checked.policy, folder),
        *checks.environment(checked.document.data),
        *(checks.untested(file, tested) if tested is not None else ()),
    ]
    findings = [_finding(one, file, checked.document, source) for one in found]
    return tuple(sorted(findings, key=lambda finding: (finding.line, finding.column, finding.code)))


def _finding(found: Found, file: PolicyFile, read: Document, source: str) -> Finding:
    code, severity, path, index, message, hint = found
    rule = file.rules[index].id if index is not None else ""
    return Finding(code, severity, source, *read.at(path), rule, message, hint)
