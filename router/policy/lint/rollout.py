"""What lint looks for in a rollout: a candidate that is no policy, or the same one, and shares that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from triroute.router.errors import InvalidPolicy
from triroute.router.policy.findings import Severity
from triroute.router.policy.lint.checks import Found
from triroute.router.policy.load import Policy, check, read_text

_PLACE = ("rollout", "candidate")


def rollout(policy: Policy, folder: Path | None) -> Iterator[Found]:
    """`folder`: where the candidate's file is looked for; None where that is not known, and it is not looked at."""
    asked = policy.file.rollout
    if asked is None:
        return
    if asked.percent == 0:
        message = "at percent: 0 the candidate decides nothing; it only says what it would decide"
        yield "rollout-percent", Severity.NOTE, ("rollout", "percent"), None, message, "raise it to start a canary"
    if asked.percent == 100:
        message = "at percent: 100 no step is left to compare with, and the candidate can't be stopped"
        hint = "promote it, or leave some steps to this policy"
        yield "rollout-percent", Severity.WARNING, ("rollout", "percent"), None, message, hint
    if folder is not None:
        yield from _candidate(policy, folder / asked.candidate, asked.candidate)


def _candidate(policy: Policy, path: Path, name: str) -> Iterator[Found]:
    try:
        checked = check(read_text(path), str(path))
    except InvalidPolicy as error:
        reason = error.message.partition(": ")[2]
        yield "missing-candidate", Severity.ERROR, _PLACE, None, f"the candidate {name!r} {reason}", ""
        return
    candidate = checked.policy
    if candidate is None:
        message = f"the candidate is not valid: {checked.findings[0]}"
        yield "invalid-candidate", Severity.ERROR, _PLACE, None, message, f"run `triroute policy lint {path}`"
    elif candidate.revision == policy.revision:
        message = f"the candidate {name!r} means the same as this policy; there is nothing to try"
        yield "same-candidate", Severity.WARNING, _PLACE, None, message, "name another policy, or drop the rollout"
    elif candidate.file.rollout is not None:
        message = f"the candidate {name!r} has a rollout of its own, which is ignored while it is a candidate"
        yield "nested-rollout", Severity.WARNING, _PLACE, None, message, ""
