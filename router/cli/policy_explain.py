"""`triroute policy explain`: what a policy makes of one request or of a recorded step, and why."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.classifier import classify
from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.screen import line
from triroute.router.convert.request import to_request
from triroute.router.errors import InvalidRequest, NotFound
from triroute.router.policy import Latches, Policy, load
from triroute.router.policy.account import DECIDES, LATER, NOTED, Account, account
from triroute.router.policy.diff import in_words, plain, plain_plan
from triroute.router.policy.latches import figure_of
from triroute.router.policy.traffic import Recorded
from triroute.router.policy.traffic.recorded import kept_policy
from triroute.router.prompts import build, check_keys
from triroute.router.types import Load, Trip

_ID = re.compile(r"[0-9a-f]{6,32}")

_MARKS = {DECIDES: "[green]✓[/green]", NOTED: "[yellow]~[/yellow]", LATER: "[dim]·[/dim]"}


def explain(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST",
            help="JSON file with one request, as in `generate --prompts`, or -; or a record's id, or its beginning.",
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy YAML.", show_default="the one that ships; for a record, the one that decided it"),
    ] = None,
    running: Annotated[int, typer.Option(min=0, help="Requests that share passes.")] = 0,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that wait for cache.")] = 0,
    cache_used: Annotated[float, typer.Option(min=0, max=1, help="Share of the KV cache in use.")] = 0,
    records: Records = DEFAULTS.records,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Say what a request's step is taken for, which rule decides and why the others do not, and what would run."""
    if _is_id(wanted):
        told, recorded = _recorded(wanted, policy, records)
    else:
        told, recorded = _asked(Path(wanted), load(policy or DEFAULTS.policy), Load(running, waiting, cache_used)), None
    if as_json:
        sys.stdout.write(json.dumps(_as_json(told) | ({"recorded": recorded} if recorded else {}), indent=2) + "\n")
        return
    if recorded:
        line(f"[b]record[/b] {recorded['request_id']}, decided by policy {recorded['policy_revision'][:12]}")
    _show(told)
    if recorded:
        for switch in recorded["unknown_switches"]:
            line(f"[yellow]how {switch} stood was not recorded[/yellow]; taken as not tripped")
        line(_compared(recorded, told))


def _is_id(wanted: str) -> bool:
    """An id, or its beginning, and no file of that name."""
    return _ID.fullmatch(wanted) is not None and not Path(wanted).exists()


def _asked(request: Path, policy: Policy, now: Load) -> Account:
    try:
        asked = to_request(build(_read(request), str(request)))
        return account(policy, asked, classify(asked), Latches().see(now, policy.compiled.trips))
    except InvalidRequest as error:
        raise typer.BadParameter(error.message, param_hint="REQUEST") from error


def _recorded(wanted: str, policy: Path | None, records: Place) -> tuple[Account, dict[str, Any]]:
    """A recorded decision made again, and what it was. Raises NotFound, HintRefused."""
    store = RecordStore(records)
    record = store.find(wanted)
    step = Recorded.of(record)
    if step is None:
        raise NotFound(f"record {wanted} is of an older version, which kept no features; `triroute trace` shows it")
    was = record.decision
    told: dict[str, Any] = {
        "request_id": record.request_id,
        "policy_revision": was.policy_revision,
        "rule": was.rule_id,
        "error": record.error,
        "decision": plain_plan(step.plan) if was.rule_id else None,
    }
    chosen = load(policy) if policy else kept_policy(store, was.policy_revision)
    if chosen is None:
        raise NotFound(
            f"the policy {was.policy_revision[:12] or 'that refused it'} of record {wanted} is not in {records};"
            " name one with --policy"
        )
    trips = chosen.compiled.trips
    told["unknown_switches"] = [_switch(trip) for trip in trips if _is_unknown(trip, step.load)]
    seen = Latches().see(step.load, trips)
    return account(chosen, step.features, step.step, seen, step.held(chosen)), told


def _is_unknown(trip: Trip, now: Load) -> bool:
    """Whether it depends on loads before, and was not looked at then."""
    return trip not in now.watched and trip.state(figure_of(now, trip)) is None


def _switch(trip: Trip) -> str:
    return f"load.{trip.figure} at {trip.bound:g} until {trip.reset:g}"


def _compared(recorded: dict[str, Any], told: Account) -> str:
    """Whether what was decided then is what would be decided."""
    if recorded["decision"] is None:
        return f"[yellow]then it was refused[/yellow]: {escape(recorded['error'])}"
    now = plain_plan(told.decision.plan)
    moved = [f"{name} {was} → {now[name]}" for name, was in recorded["decision"].items() if was != now[name]]
    if recorded["rule"] != told.decision.rule_id:
        moved.insert(0, f"rule {recorded['rule']} → {told.decision.rule_id}")
    return f"[yellow]then it was otherwise[/yellow]: {escape(', '.join(moved))}" if moved else "the same as then"


def _read(path: Path) -> dict[str, Any]:
    """Raises InvalidRequest."""
    where = "stdin" if str(path) == "-" else str(path)
    try:
        asked = json.loads(sys.stdin.read() if where == "stdin" else path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidRequest(
            f"{where}: there is no such file, and it is no record's id: those are 6 to 32 of 0-9 and a-f"
        ) from error
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
        "segment_rules": {kind.value: rule for kind, rule in decision.segment_rules},
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
    plan = plain(decision)
    segments = plan.pop("segments")
    runs = (f"{name} {in_words(plan, name)}" for name, value in plan.items() if value not in (None, []))
    line(f"[b]runs[/b]  {escape(', '.join(runs))}")
    rules = {kind.value: rule for kind, rule in decision.segment_rules}
    for kind, own in segments:
        differs = (f"{name} {in_words(own, name)}" for name, value in own.items() if value not in (None, plan[name]))
        by = f", by rule {escape(rules[kind])}" if kind in rules else ""
        line(f"  in {kind}: {escape(', '.join(differs)) or 'the same'}{by}")
    for clamp in decision.clamps:
        line(f"  {clamp.parameter}: the rule's {clamp.asked:g} became {clamp.became:g}, by the limits")
    for hint in decision.hints:
        line(f"  hint {hint.hint} {'followed' if hint.accepted else 'not followed'}: {escape(hint.why)}")
    line(f"[dim]policy revision {decision.policy_revision}[/dim]")
