"""`triroute generate`: what it says of a step reaches the policy."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from triroute.router.service import Service
from triroute.router.settings import Settings

from .. import fake_engine

POLICY = """
version: 1
metadata: {name: labels}
rules:
  - id: all-of-them
    when:
      tenant: acme
      tags: {all: [draft, night]}
      expected_tokens: {gte: 9, lte: 9}
      latency: {class: batch, first_token_ms: {gte: 100, lte: 100}}
      session: true
    use: {mode: diffusion}
  - {id: otherwise, use: {mode: autoregressive}}
"""
LABELS = [
    *("--tenant", "acme", "--tag", "draft", "--tag", "night"),
    *("--expected-tokens", "9", "--latency-class", "batch", "--first-token-ms", "100"),
]


async def test_labels_reach_the_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    settings = Settings(
        listen="127.0.0.1:0",
        policy=policy,
        records=tmp_path / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
    )
    async with Service(settings) as service:
        command = ["-m", "triroute.router", "generate", "hi", "--max-tokens", "2", "--json", "--address"]
        for options, rule in ((["--session", "s"], "all-of-them"), ([], "otherwise")):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, service.address, *LABELS, *options, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            assert json.loads(out)["rule"] == rule
