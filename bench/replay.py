"""`python -m triroute.bench.replay`: 200 captured steps of all modes, replayed by another engine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from triroute.bench.machine import this_machine
from triroute.router.audit.store import RecordStore
from triroute.router.capture.content import ContentStore, content_file
from triroute.router.capture.replay import Again, Replayed, Replayer
from triroute.router.cli.connect import own_engine
from triroute.router.client import Client
from triroute.router.prompts import build
from triroute.router.service import Service
from triroute.router.settings import Settings

_POLICY = """
version: 1
metadata: {name: captured}
hints: {allow: [mode, variant, block_length]}
defaults: {mode: self_speculation, block_length: auto, capture: content}
rules:
  - id: parts
    when: {tags: {any: [parts]}}
    use: {segments: {code: {mode: self_speculation, variant: quadratic}, plan: {mode: autoregressive}}}
  - {id: rest, use: {}}
"""
_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 20}, "pages": {"type": "integer", "maximum": 900}},
    "required": ["title", "pages"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "find_book", "parameters": _SCHEMA}}
_MODES: list[dict[str, Any]] = [
    {"mode": "autoregressive"},
    {"mode": "diffusion", "block_length": 8},
    {"mode": "self_speculation", "variant": "linear"},
    {"mode": "self_speculation", "variant": "quadratic"},
    {"tags": ["parts"]},
]
_ASKS: list[dict[str, Any]] = [
    {"prompt": "Tell me a short story about a lighthouse."},
    {"prompt": "Write a Python function that reverses a string, and explain it."},
    {"prompt": "Plan a birthday party for ten children, in five steps."},
    {"prompt": "Describe a book as JSON.", "json_schema": _SCHEMA},
    {"prompt": "Find me a book about the sea.", "tools": [_TOOL], "tool_choice": "required"},
]
_TEMPERATURES = (0.0, 0.6, 1.0, 1.3)
_TOGETHER = 4


def steps(count: int) -> list[dict[str, Any]]:
    """Every ask in every mode at every temperature, with seeds of their own, until there are so many."""
    found = [
        {**ask, **mode, "temperature": temperature, "max_tokens": 48}
        for temperature in _TEMPERATURES
        for ask in _ASKS
        for mode in _MODES
    ]
    return [{**found[number % len(found)], "seed": number} for number in range(count)]


async def _capture(settings: Settings, asked: list[dict[str, Any]]) -> None:
    """Run all, a few at a time, on a service that ends after it."""
    async with Service(settings) as service, Client(service.address) as client:

        async def run(step: dict[str, Any]) -> None:
            async for _ in client.generate(build(step, "a step")):
                pass

        groups = [asked[start : start + _TOGETHER] for start in range(0, len(asked), _TOGETHER)]
        for group in track(groups, "running", console=Console(stderr=True)):
            await asyncio.gather(*map(run, group))


async def _replay(settings: Settings) -> list[Replayed]:
    store, contents = RecordStore(settings.records), ContentStore(content_file(settings.records))
    again = [Again.of(record, contents) for record in store.latest(1_000_000) if record.captured]
    async with own_engine(Settings()) as engine:
        runs = Replayer(engine)
        watched = track(again, "replaying", console=Console(stderr=True))
        return [await runs.replay(one, store.kept(one.record.engine_sha256)) for one in watched]


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m triroute.bench.replay", description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="how many")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yaml"
        policy.write_text(_POLICY, encoding="utf-8")
        settings = Settings(
            listen="127.0.0.1:0", policy=policy, records=Path(folder) / "records.sqlite", otlp_endpoint=""
        )
        asyncio.run(_capture(settings, steps(asked.steps)))
        replayed = asyncio.run(_replay(settings))
    told = {
        "command": "python -m triroute.bench.replay",
        "machine": asdict(this_machine(os.cpu_count() or 1)),
        "steps": len(replayed),
        "by_mode": Counter(one.again.attempt.plan.mode.value for one in replayed),
        "as_it_ran": sum(one.runs[0].same for one in replayed),
        "compared_with_autoregression": sum(len(one.runs) > 1 for one in replayed),
        "same_by_autoregression": sum(len(one.runs) > 1 and one.runs[1].same for one in replayed),
        "tokens": sum(len(one.again.record.token_ids) for one in replayed),
        "target": "all the same",
        "met": len(replayed) == asked.steps and all(one.same for one in replayed),
    }
    Console().print_json(json.dumps(told))
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
