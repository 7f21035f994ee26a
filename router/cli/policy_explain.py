"""`triroute policy explain`: what a policy makes of one request, and why."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from triroute.router.classifier import classify
from triroute.router.cli.options import DEFAULTS, PolicyFile
from triroute.router.cli.screen import line
from triroute.router.convert import to_request
from triroute.router.errors import InvalidRequest
from triroute.router.policy import Latches, load
from triroute.router.policy.account import DECIDES, LATER, NOTED, Account, account
from triroute.router.policy.diff import plain
from triroute.router.prompts import build, check_keys
from triroute.router.types import Load

_MARKS = {DECIDES: "[green]✓[/green]", NOTED: "[yellow]~[/yellow]", LATER: "[dim]·[/dim]"}


def explain(
    request: Annotated[Path, typer.Argument(help="JSON file with one request, as in `generate --prompts`, or -.")],
    policy: PolicyFile = DEFAULTS.policy,
    running: Annotated[int, typer.Option(min=0, help="Requests that share passes.")] = 0,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that wait for cache.")] = 0,
    cache_used: Annotated[float, typer.Option(min=0, max=1, help="Share of the KV cache in use.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Say what a request's step is taken for, which rule decides and why the others do not, and what would run."""
    chosen = load(policy)
    now = Latches().see(Load(running, waiting, cache_used), chosen.compiled.trips)
    try:
        asked = to_request(build(_read(request), str(request)))
        told = account(chosen, asked, classify(asked), now)
    except InvalidRequest as error:
        raise typer.BadParameter(error.message, param_hint="REQUEST") from error
    if as_json:
        sys.stdout.write(json.dumps(_as_json(told), indent=2) + "\n")
    else:
        _show(told)


def _read(path: Path) -> dict[str, Any]:
    """Raises InvalidRequest."""
    where = "stdin" if str(path) == "-" else str(path)
    try:
        asked = json.loads(sys.stdin.read() if where == "stdin" else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"{where}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{where}: not JSON: {error}") from error
    check_keys(asked, where)
    return asked  # type: ignore[no-any-return]  # check_keys has looked


def _as_json(told: Account) -> dict[str, Any]:
    decision = told.decision
    return {
        "step": decision.step.kind.value,
        "confidence": decision.step.confidence,
        "evidence": decision.step.evidence,
        "facts": told.facts,
        "rule": decision.rule_id,
        "rules": [dataclasses.asdict(rule) for rule in told.rules],
        "nearest": told.nearest,
        "decision": plain(decision),
        "clamps": [dataclasses.asdict(clamp) for clamp in decision.clamps],
        "hints": [dataclasses.asdict(hint) for hint in decision.hints],
        "policy_revision": decision.policy_revision,
    }


def _show(told: Account) -> None:
    decision = told.decision
    line(f"[b]step[/b]  {decision.step.kind.value}, confidence {decision.step.confidence:.2f}")
    for seen in decision.step.evidence:
        line(f"      [dim]{escape(seen)}[/dim]")
    facts = (f"{name} {json.dumps(value)}" for name, value in told.facts.items())
    line(f"[b]facts[/b] {escape(', '.join(facts)) or 'the policy looks at none'}")
    line("[b]rules[/b]")
    for rule in told.rules:
        why = "; ".join(rule.failing) or rule.outcome
        line(f"  {_MARKS.get(rule.outcome, '[red]✗[/red]')} {escape(rule.id)}  [dim]{escape(why)}[/dim]")
    if told.nearest:
        line(f"  nearest miss: {escape(told.nearest)}, which lacks a single condition")
    running = plain(decision)
    segments = running.pop("segments")
    runs = (f"{name} {value}" for name, value in running.items() if value not in (None, []))
    line(f"[b]runs[/b]  {escape(', '.join(runs))}")
    for kind, own in segments:
        differs = (f"{name} {value}" for name, value in own.items() if value not in (None, running[name]))
        line(f"  in {kind}: {escape(', '.join(differs)) or 'the same'}")
    for clamp in decision.clamps:
        line(f"  {clamp.parameter}: the rule's {clamp.asked:g} became {clamp.became:g}, by the limits")
    for hint in decision.hints:
        line(f"  hint {hint.hint} {'followed' if hint.accepted else 'not followed'}: {escape(hint.why)}")
    line(f"[dim]policy revision {decision.policy_revision}[/dim]")
