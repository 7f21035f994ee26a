"""`triroute demo`: eight agent steps through a real router and engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from triroute.router.cli.connect import own_service
from triroute.router.cli.options import DEFAULTS, Checkpoint, PolicyFile, Records, Threads
from triroute.router.cli.outcome import Outcome, run
from triroute.router.cli.output import output
from triroute.router.cli.screen import console, safe
from triroute.router.client import Client
from triroute.router.errors import EngineFailed
from triroute.router.prompts import build
from triroute.router.settings import Settings

STEPS = Path(__file__).with_name("demo_steps.jsonl")
_FIGURES = ("step", "confidence", "rule", "mode", "variant", "tokens", "passes", "drafted", "accepted", "rejected")
_TIMES = ("ttft_ms", "tokens_per_second", "finish", "trace_id", "text")


def demo(
    report: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")] = None,
    policy: PolicyFile = DEFAULTS.policy,
    checkpoint: Checkpoint = None,
    records: Records = DEFAULTS.records,
    threads: Threads = None,
) -> None:
    """Run eight agent steps through a real router and engine, and show how each was decoded."""
    settings = Settings(listen="127.0.0.1:0", policy=policy, checkpoint=checkpoint, records=records, threads=threads)
    asyncio.run(_demo(settings, report))


async def _demo(settings: Settings, report: Path | None) -> None:
    steps = [json.loads(line) for line in STEPS.read_text(encoding="utf-8").splitlines()]
    async with own_service(settings) as service, Client(service.address) as client:
        outcomes = [await _show(client, step) for step in steps]
        model = service.supervisor.description.model
        console.print(_table(steps, outcomes, f"{model}, policy {service.policy.name} {service.policy.revision[:12]}"))
        if report is not None:
            rows = [_row(step, outcome) for step, outcome in zip(steps, outcomes, strict=True)]
            figures = {"steps": rows, "revision": service.policy.revision, "model": model}
            with output(report, settings.records, "--json") as file:
                file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(
        f"Look into one: [b]triroute trace {outcomes[0].decision.trace_id}[/b]", highlight=False, soft_wrap=True
    )


async def _show(client: Client, step: dict[str, Any]) -> Outcome:
    """One step, streamed. Raises EngineFailed when it fails."""
    console.rule(f"[b]{step['id']}[/b]", align="left")
    console.print(escape(safe(step["messages"][-1]["content"])), style="dim", highlight=False)
    request = build({key: value for key, value in step.items() if key != "expected"}, step["id"])
    outcome = await run(
        client,
        request,
        on_text=lambda text: console.print(safe(text), end="", markup=False, highlight=False, soft_wrap=True),
    )
    console.print()
    if outcome.error is not None:
        raise EngineFailed(f"step {step['id']} failed: {outcome.error}")
    return outcome


def _row(step: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    answer = outcome.as_json()
    return {"expected": step["expected"]} | {key: answer[key] for key in (*_FIGURES, *_TIMES)}


def _say(text: str) -> None:
    console.print(safe(text), end="", markup=False, highlight=False, soft_wrap=True)


def _table(steps: list[dict[str, Any]], outcomes: list[Outcome], title: str) -> Table:
    """Fits 80 columns: each step takes up to three lines."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("step", no_wrap=True)
    table.add_column("class\nsure", no_wrap=True)
    table.add_column("rule\nmode\nhow", no_wrap=True)
    table.add_column("tokens\npasses\na pass", justify="right", no_wrap=True)
    table.add_column("drafted\naccepted\nrejected", justify="right", no_wrap=True)
    table.add_column("1st ms\ntok/s", justify="right")
    table.add_column("trace", overflow="crop", no_wrap=True, width=8)
    for step, outcome in zip(steps, outcomes, strict=True):
        usage = outcome.finish.usage
        right = "green" if outcome.step == step["expected"] else "yellow"
        drafts = (usage.drafted_tokens, usage.accepted_prediction_tokens, usage.rejected_prediction_tokens)
        table.add_row(
            step["id"],
            f"[{right}]{outcome.step}[/{right}]\n{outcome.decision.confidence:.2f}",
            f"{outcome.decision.rule_id}\n{outcome.mode}\n[dim]{_parameters(outcome)}[/dim]",
            f"{len(outcome.token_ids)}\n{usage.passes}\n{len(outcome.token_ids) / max(usage.passes, 1):.2f}",
            "\n".join(str(count) for count in drafts) if usage.drafted_tokens else "",
            f"{1000 * outcome.first_seconds:.0f}\n{outcome.tokens_per_second:.0f}",
            outcome.decision.trace_id,
        )
    return table


def _parameters(outcome: Outcome) -> str:
    if outcome.mode == "autoregressive":
        return ""
    words = [outcome.variant] if outcome.variant else []
    return ", ".join([*words, f"block {outcome.decision.plan.block_length or 'auto'}"])
