"""Bytes a token of real records: the demo's steps, and long answers in every mode."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import defaultdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from triroute.bench.policy.processes import router
from triroute.bench.policy.result import Result
from triroute.proto import decoding_pb2, router_pb2
from triroute.router.audit.body import whole
from triroute.router.audit.entries import read_entries
from triroute.router.audit.store import RecordStore
from triroute.router.client import Client
from triroute.router.prompts import build
from triroute.router.words import word

_TARGET = 16.0
ANY_MODE = """
version: 1
metadata: {name: any-mode}
hints: {allow: [mode, variant, block_length]}
rules: [{id: all, use: {mode: self_speculation}}]
"""
_MODES: tuple[dict[str, Any], ...] = (
    {"mode": "autoregressive"},
    {"mode": "self_speculation", "variant": "linear"},
    {"mode": "self_speculation", "variant": "quadratic"},
    {"mode": "diffusion", "block_length": 16},
)
_LONG = (
    "Explain how a car engine works, in detail.",
    "Write a long story about a lighthouse keeper and the sea.",
    "Write a Python class for a bank account with tests.",
    "List the capitals of Europe with a sentence about each.",
    "Write a letter to a friend about a journey through the mountains.",
    "Tell the history of the bicycle from the beginning.",
)
_FEWEST = 20  # tokens; diffusion may end at once


def measure(folder: Path, long_tokens: int) -> tuple[list[Result], RecordStore]:
    """The demo's steps under the policy that ships, then long answers; and the store of the demo's."""
    store = demo(folder)
    (folder / "sizes.yaml").write_text(ANY_MODE)
    longer = [
        build({"prompt": prompt, "max_tokens": long_tokens, "temperature": 0.8, "seed": 1, **mode}, "long")
        for mode in _MODES
        for prompt in _LONG
    ]
    with router(folder, "long", "--policy", str(folder / "sizes.yaml")) as address:
        asyncio.run(_ask(address, longer))
    results = [_result("record, the demo's steps, median", folder / "demo.sqlite")]
    path = folder / "long.sqlite"
    results += [_result(f"record, up to {long_tokens} tokens, {name}", path, name) for name in _by_mode(path)]
    return results, store


def demo(folder: Path) -> RecordStore:
    """The records of the demo's steps under the policy that ships."""
    steps = [json.loads(line) for line in files("triroute.router.cli").joinpath("demo_steps.jsonl").open()]
    requests = [build({k: v for k, v in step.items() if k not in ("id", "expected")}, "demo") for step in steps]
    with router(folder, "demo") as address:
        asyncio.run(_ask(address, requests))
    return RecordStore(folder / "demo.sqlite")


async def _ask(address: str, requests: list[router_pb2.GenerateRequest]) -> None:
    async with Client(address) as client:
        for request in requests:
            async for _ in client.generate(request):
                pass


def _by_mode(path: Path) -> dict[str, list[tuple[float, float]]]:
    """For each mode, of each record: bytes a token as stored, and as one message with its tokens' texts."""
    store, found = RecordStore(path), defaultdict[str, list[tuple[float, float]]](list)
    for one in read_entries(path):
        if one.entry is None or len(one.entry.record.token_ids) < _FEWEST or one.stored is None:
            continue
        record, tokens = one.entry.record, len(one.entry.record.token_ids)
        plan = record.decision.plan
        words = [word(decoding_pb2.Mode, plan.mode)]
        words += [word(decoding_pb2.Variant, plan.variant)] if plan.variant else []
        plain = whole(record, store.vocabulary(record.vocabulary_sha256)).ByteSize()
        found[" ".join(words)].append((one.stored / tokens, plain / tokens))
    return found


def _result(measure: str, path: Path, mode: str = "") -> Result:
    by_mode = _by_mode(path)
    pairs = by_mode[mode] if mode else [pair for found in by_mode.values() for pair in found]
    stored, plain = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
    note = f"median of {len(pairs)} records"
    return Result(measure, f"one message, with texts: {plain:.1f}", stored, _TARGET, "B a token", note)
