"""`triroute policy diff`: two policies, by meaning and by what changes for test cases."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from triroute.router.cli.screen import line
from triroute.router.policy import load
from triroute.router.policy.diff import Change, Changed, meaning, outcomes
from triroute.router.policy.testing import beside, read_suite


def diff(
    before: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    cases: Annotated[
        list[Path] | None,
        typer.Option(help="Test file; may be repeated.", show_default="those beside the two policies"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Say what differs between two policies, and which decisions of test cases change."""
    old, new = load(before), load(after)
    files = cases or [path for path in dict.fromkeys((beside(before), beside(after))) if path.exists()]
    tests = [test for path in files for test in read_suite(path).tests]
    changes, changed = meaning(old.file, new.file), outcomes(old, new, tests)
    if as_json:
        told = {
            "changes": [dataclasses.asdict(change) for change in changes],
            "decisions": len(tests),
            "changed": [dataclasses.asdict(one) for one in changed],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    for change in changes:
        line(_change(change))
    if not changes:
        line("the policies mean the same")
    groups = Counter(_summary(one) for one in changed)
    listed = ": " + ", ".join(f"{words} {count}" for words, count in groups.most_common()) if groups else ""
    line(f"[b]{len(changed)} of {len(tests)} decisions change[/b]{escape(listed)}")
    for one in changed:
        line(f"  {escape(one.test)}  [dim]{escape(_differences(one))}[/dim]")


def _change(change: Change) -> str:
    if change.before is None:
        added = "" if change.after == "there" else f": {change.after}"
        return f"[green]+[/green] {escape(f'{change.what}{added}')}"
    if change.after is None:
        gone = "" if change.before == "there" else f": {change.before}"
        return f"[red]-[/red] {escape(f'{change.what}{gone}')}"
    return f"[yellow]~[/yellow] {escape(f'{change.what}: {change.before} → {change.after}')}"


def _summary(one: Changed) -> str:
    return f"{_short(one.before)} → {_short(one.after)}"


def _short(side: dict[str, Any]) -> str:
    return "refused" if "refused" in side else f"{side['rule']} ({side['mode']})"


def _differences(one: Changed) -> str:
    keys = [key for key in dict.fromkeys((*one.before, *one.after)) if one.before.get(key) != one.after.get(key)]
    return ", ".join(f"{key} {one.before.get(key)} → {one.after.get(key)}" for key in keys)
