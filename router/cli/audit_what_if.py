"""`triroute audit what-if`: a recorded step under another policy, or another mode."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from triroute.router.audit.store import RecordStore
from triroute.router.capture.replay import Again, Ran, Replayer
from triroute.router.classifier import classify
from triroute.router.cli.audit_replay import captured, tell_builds
from triroute.router.cli.connect import own_engine
from triroute.router.cli.options import DEFAULTS, Adapter, CaptureKey, Checkpoint, Records, Threads
from triroute.router.cli.screen import console, line, quoted
from triroute.router.policy.decide import decide
from triroute.router.policy.load import load
from triroute.router.policy.plan import variant_for
from triroute.router.policy.use import ModeName
from triroute.router.settings import Settings
from triroute.router.structured.attempt import Attempt
from triroute.router.types import DecodePlan, Load, Mode, Variant


def what_if(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Trace or request id, or its beginning.")],
    policy: Annotated[Path | None, typer.Option(help="Decide it by this policy, on an engine that is idle.")] = None,
    mode: Annotated[ModeName | None, typer.Option(help="Decode it in this mode.")] = None,
    variant: Annotated[Literal["linear", "quadratic"] | None, typer.Option(help="Of self-speculation.")] = None,
    block_length: Annotated[int, typer.Option(min=0, max=64, help="Tokens a block; 0 is auto.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    records: Records = DEFAULTS.records,
    capture_key: CaptureKey = None,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
    threads: Threads = None,
) -> None:
    """Run a captured step as it ran and otherwise: time, passes, and what becomes of the text."""
    if (policy is None) == (mode is None):
        raise typer.BadParameter("give --policy or --mode", param_hint="--mode")
    _check(policy, mode, variant, block_length)
    store = RecordStore(records)
    (again,) = captured(store, records, [wanted], 0, capture_key)
    if policy is not None:
        other, rule = _by(policy, again)
    else:
        chosen = Mode(mode or Mode.AUTOREGRESSIVE)
        plan = DecodePlan(chosen, variant_for(chosen, Variant(variant) if variant else None), block_length)
        other, rule = replace(again.attempt, plan=plan, segments=()), ""
    settings = Settings(checkpoint=checkpoint, adapter=adapter, threads=threads)
    was, now, builds = asyncio.run(_both(again, other, store.kept(again.record.engine_sha256), settings))
    told: dict[str, Any] = {
        "request_id": again.record.request_id,
        "was": _plain(again.attempt, was),
        "now": _plain(other, now),
        "another_build": list(builds),
    }
    if rule:
        told["now"]["rule"] = rule
    if as_json:
        print(json.dumps(told | {"same_text": was.text == now.text}))  # noqa: T201
    else:
        _show(told, was, now)


def _by(file: Path, again: Again) -> tuple[Attempt, str]:
    """What a policy makes of the request, at no load. Raises InvalidPolicy, HintRefused."""
    decision = decide(load(file), again.request, classify(again.request), Load())
    return Attempt.first(decision, again.request), decision.rule_id


def _check(policy: Path | None, mode: ModeName | None, variant: str | None, block_length: int) -> None:
    """Raises BadParameter for what would have no effect."""
    if variant is not None and mode != Mode.SELF_SPECULATION.value:
        raise typer.BadParameter("it belongs to --mode self_speculation", param_hint="--variant")
    if block_length and (policy is not None or mode == Mode.AUTOREGRESSIVE.value):
        raise typer.BadParameter("it belongs to --mode diffusion or self_speculation", param_hint="--block-length")


async def _both(
    again: Again, other: Attempt, engine_then: bytes | None, settings: Settings
) -> tuple[Ran, Ran, tuple[str, ...]]:
    """As it was, and otherwise, each after a run that warms the prefix cache; and how the engine differs from then."""
    async with own_engine(settings) as engine:
        runs = Replayer(engine)
        await runs.run(again, again.attempt)
        was, now = await runs.run(again, again.attempt), await runs.run(again, other)
        return was, now, runs.differences(engine_then)


def _plain(attempt: Attempt, ran: Ran) -> dict[str, Any]:
    plan = attempt.plan
    return {
        "mode": plan.mode.value,
        "variant": plan.variant.value if plan.variant else None,
        "block_length": plan.block_length or "auto",
        "modes": _modes(attempt, ran),
        "tokens": len(ran.token_ids),
        "passes": ran.passes,
        "tokens_a_pass": round(ran.tokens_a_pass, 3),
        "seconds": round(ran.seconds, 4),
        "text": ran.text,
    }


def _modes(attempt: Attempt, ran: Ran) -> dict[str, int]:
    """Tokens by the mode that wrote them, most first."""
    tokens = Counter[str]()
    for plan, count in zip((attempt.plan, *(plan for _, plan in attempt.segments)), ran.by_plan, strict=False):
        tokens[f"{plan.mode.value} {plan.variant.value}" if plan.variant else plan.mode.value] += count
    return {name: count for name, count in tokens.most_common() if count}


def _show(told: dict[str, Any], was: Ran, now: Ran) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("", "runs as", "tokens", "passes", "a pass", "ms"):
        table.add_column(name, justify="left" if name in ("", "runs as") else "right")
    for name in ("was", "now"):
        side = told[name]
        modes = side["modes"]
        runs = ", ".join(f"{mode} {count}" if len(modes) > 1 else mode for mode, count in modes.items())
        runs = " ".join(filter(None, (runs or side["mode"], side.get("rule") and f"by {side['rule']}")))
        row = (side["tokens"], side["passes"], f"{side['tokens_a_pass']:.2f}", f"{side['seconds'] * 1e3:.0f}")
        table.add_row(name, escape(runs), *map(str, row))
    console.print(table)
    ratio = was.seconds / max(now.seconds, 1e-9)
    line(f"{ratio:.2f} times as fast, " + ("with the same text" if was.text == now.text else "with another text:"))
    if was.text != now.text:
        line(_difference(was.text, now.text))
    tell_builds(told["another_build"])


def _difference(was: str, now: str) -> str:
    """What went in red, what came in green."""
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(a=was, b=now, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(quoted(was[a:b]))
        else:
            parts += [f"[red]{quoted(was[a:b])}[/red]"] if b > a else []
            parts += [f"[green]{quoted(now[c:d])}[/green]"] if d > c else []
    return "".join(parts)
