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

from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.cli.options import DEFAULTS, RECORDS
from triroute.router.cli.screen import line
from triroute.router.cli.traffic import MOST, Last, about, traffic_of
from triroute.router.policy import load
from triroute.router.policy.diff import Change, Changed, in_words, meaning, outcomes
from triroute.router.policy.testing import beside, read_suite
from triroute.router.policy.traffic import Traffic, read_traffic
from triroute.router.policy.traffic.changes import Changes, Group, changes

_LISTED = 20


def diff(
    before: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    cases: Annotated[
        list[Path] | None,
        typer.Option(help="Test file; may be repeated.", show_default="those beside the two policies"),
    ] = None,
    records: Annotated[Place | None, RECORDS] = None,
    last: Last = MOST,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Say what differs between two policies, and which decisions of test cases and of recorded steps change."""
    old, new = load(before), load(after)
    files = cases or [path for path in dict.fromkeys((beside(before), beside(after))) if path.exists()]
    tests = [test for path in files for test in read_suite(path).tests]
    differing, changed = meaning(old.file, new.file), outcomes(old, new, tests)
    traffic = traffic_of(records, last) if records else read_traffic(RecordStore(DEFAULTS.records), last)
    moved = changes(old, new, traffic.steps)
    if as_json:
        told = {
            "changes": [dataclasses.asdict(change) for change in differing],
            "decisions": len(tests),
            "changed": [dataclasses.asdict(one) for one in changed],
            "recorded": _recorded_as_dict(traffic, moved),
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    for change in differing:
        line(_change(change))
    if not differing:
        line("the policies mean the same")
    groups = Counter(_summary(one) for one in changed)
    listed = ": " + ", ".join(f"{words} {count}" for words, count in groups.most_common()) if groups else ""
    line(f"[b]{len(changed)} of {len(tests)} decisions change[/b]{escape(listed)}")
    for one in changed:
        line(f"  {escape(one.test)}  [dim]{escape(_differences(one))}[/dim]")
    if traffic.steps:
        _show_recorded(traffic, moved)


def _show_recorded(traffic: Traffic, moved: Changes) -> None:
    rules = Counter[str]()
    for group in moved.groups:
        rules[f"{group.before} → {group.after}"] += group.count
    listed = ": " + ", ".join(f"{words} {count:,}" for words, count in rules.most_common()) if rules else ""
    line(f"[b]{moved.changed:,} of {moved.decisions:,} recorded decisions change[/b]{escape(listed)}")
    for group in moved.groups[:_LISTED]:
        line(
            f"  {group.count:,} × {escape(f'{group.before} → {group.after}')}  [dim]{escape(_parameters(group))}[/dim]"
        )
    if len(moved.groups) > _LISTED:
        line(f"  and {len(moved.groups) - _LISTED} other ways; --json has them all")
    if moved.changed > moved.otherwise:
        line(f"  {moved.otherwise:,} of them decode otherwise; the rest change their rule, or what plays no part")
    if traffic.left_out:
        line(f"[dim]{about(traffic)}[/dim]")


def _parameters(group: Group) -> str:
    """What changes, and a step to look at."""
    changed = ", ".join(f"{name} {before} → {after}" for name, before, after in group.parameters)
    return f"{changed or 'decodes the same'}; as in {group.examples[0][:12]}"


def _recorded_as_dict(traffic: Traffic, moved: Changes) -> dict[str, Any]:
    groups = [
        {
            **dataclasses.asdict(group),
            "parameters": [{"name": name, "before": old, "after": new} for name, old, new in group.parameters],
        }
        for group in moved.groups
    ]
    counts = {"decisions": moved.decisions, "changed": moved.changed, "otherwise": moved.otherwise}
    return {**counts, "left_out": traffic.left_out, "groups": groups}


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
    return ", ".join(f"{key} {in_words(one.before, key)} → {in_words(one.after, key)}" for key in keys)
