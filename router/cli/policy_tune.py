"""`triroute policy tune`: better numbers for a policy, as a diff to review. Nothing is applied."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.policy_simulate import as_dict
from triroute.router.cli.traffic import Last, about, traffic_of
from triroute.router.policy.load import parse, read_text
from triroute.router.policy.testing import beside, read_suite, run
from triroute.router.policy.traffic.simulate import engine_of
from triroute.router.policy.traffic.tune import Bar, Tuning
from triroute.router.policy.traffic.tune import tune as search

_MOST = 2_000


def tune(
    policy: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    records: Records = DEFAULTS.records,
    last: Last = _MOST,
    least_gain: Annotated[float, typer.Option(min=0, max=1, help="What a change must gain, as a share.")] = 0.02,
    least_steps: Annotated[int, typer.Option(min=1, help="Recorded steps that a change must be about.")] = 20,
    only: Annotated[str, typer.Option(help="Turn only what has this in its name, such as `load` or a rule's id.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Propose block lengths, thresholds and load limits from recorded steps, as a diff for `patch`; apply nothing.

    Exact text stays the same and diffusion's thresholds are only ever raised: records can't tell what a text is worth.
    """
    text = read_text(policy)
    parse(text, str(policy))
    traffic = traffic_of(records, last)
    tuned = search(text, str(policy), traffic, engine_of(traffic), Bar(least_gain, least_steps, only))
    failing = _failing(policy, tuned)
    if as_json:
        told = {
            "records": len(traffic.steps),
            "simulated": len(traffic.ran),
            "proposals": [dataclasses.asdict(one) for one in tuned.proposals],
            "before": as_dict(tuned.before),
            "after": as_dict(tuned.after),
            "left_alone": tuned.unknown,
            "failing_tests": failing,
            "diff": tuned.diff,
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    lines = [f"{policy}: {about(traffic)}, of which {len(traffic.ran):,} ran to their end"]
    lines += [
        f"{one.name} {one.before} → {one.after}: {one.gain:+.1%} tokens a second, {one.steps:,} steps run otherwise;"
        f" rests on {one.rests}"
        for one in tuned.proposals
    ]
    was, became = tuned.before, tuned.after
    if tuned.proposals:
        lines.append(
            f"predicted in all: {was.tokens_per_second:.1f} → {became.tokens_per_second:.1f} tokens a second,"
            f" 95% within {was.p95_seconds:.3f} → {became.p95_seconds:.3f} s"
        )
    else:
        lines.append(f"nothing to propose that would gain {least_gain:.0%}")
    if tuned.unknown:
        lines.append(
            f"rules that decided fewer than {least_steps} steps, and are left alone: {', '.join(tuned.unknown)}"
        )
    lines += [f"test that would fail: {name}" for name in failing]
    sys.stdout.write("".join(f"# {one}\n" for one in lines) + tuned.diff)


def _failing(policy: Path, tuned: Tuning) -> list[str]:
    """Tests beside the policy that pass now and would not any more."""
    tests = beside(policy)
    if not tests.exists() or not tuned.proposals:
        return []
    suite = read_suite(tests).tests
    now, then = (run(parse(text, str(policy)), suite) for text in (read_text(policy), tuned.text))
    pairs = zip(now.results, then.results, strict=True)
    return [after.test.name for before, after in pairs if after.problems and not before.problems]
