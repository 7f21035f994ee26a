"""Captured steps run again, on another engine process: byte for byte, and the same by autoregression."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from triroute.proto import decoding_pb2
from triroute.router.audit.second_look import next_token
from triroute.router.audit.stats import mode_word
from triroute.router.audit.store import RecordStore
from triroute.router.audit.verify import verify
from triroute.router.capture.content import ContentStore, content_file
from triroute.router.capture.replay import Again
from triroute.router.cli.app import app
from triroute.router.convert.engine import to_engine
from triroute.router.errors import NotFound
from triroute.router.prompts import build
from triroute.router.settings import Settings
from triroute.router.supervisor import Supervisor

from .conftest import Running

POLICY = """
version: 1
metadata: {name: captured}
hints: {allow: [mode, variant, block_length, verification]}
defaults: {mode: self_speculation, block_length: auto, capture: content}
rules:
  - {id: kept-out, when: {tags: {any: [quiet]}}, use: {capture: none}}
  - id: checked
    when: {tags: {any: [checked]}}
    use: {grammar: off, escalation: {on: [invalid_output], most: 2}}
  - id: parts
    when: {tags: {any: [parts]}}
    use: {segments: {code: {mode: self_speculation, variant: quadratic}, plan: {mode: autoregressive}}}
  - {id: rest, use: {}}
"""
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 20}, "size": {"enum": ["small", "large"]}},
    "required": ["title", "size"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
STORY, SECRET = "Tell me a short story about a lighthouse.", "zanzibar quince"
STEPS: list[dict[str, Any]] = [
    {"prompt": STORY, "mode": "autoregressive"},
    {"prompt": STORY, "temperature": 0.9, "seed": 7},
    {"prompt": STORY, "mode": "self_speculation", "variant": "quadratic", "temperature": 0.6, "top_p": 0.9, "seed": 3},
    {"prompt": STORY, "mode": "diffusion", "block_length": 8},
    {"prompt": STORY, "mode": "diffusion", "temperature": 0.8, "seed": 5},
    {"prompt": "A book as JSON.", "json_schema": SCHEMA, "max_tokens": 60},
    {"prompt": "Look at a book.", "tools": [TOOL], "tool_choice": "required", "max_tokens": 60},
    {"prompt": "A book as JSON.", "json_schema": SCHEMA, "tags": ["checked"], "max_tokens": 60},
    {"prompt": "List two steps, then write a Python function.", "tags": ["parts"], "max_tokens": 60},
    {"prompt": STORY, "block_length": 4, "verification": "relaxed", "temperature": 0.9, "seed": 11},
]


@pytest.fixture(scope="module")
def captured(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a service that has run the steps, lost its engine in one of them, and is gone."""
    folder = tmp_path_factory.mktemp("captured")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    records = folder / "records.sqlite"
    service = Running(replace(settings, policy=folder / "policy.yaml", records=records))
    try:
        for step in STEPS:
            list(service.stub.Generate(build({"max_tokens": 24, **step}, "a step")))
        endless = build({"prompt": STORY, "max_tokens": 400, "regex": "[a-z ]{3000}"}, "a step")
        stream = service.stub.Generate(endless)
        for _ in range(6):
            next(stream)
        os.kill(service.engine_pid, signal.SIGKILL)
        assert list(stream)[-1].finish.resumes >= 1
        quiet = build({"prompt": SECRET, "tags": ["quiet"], "max_tokens": 4}, "a step")
        list(service.stub.Generate(quiet))
    finally:
        service.close()
    return records


def run(records: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--records", str(records)], env={"COLUMNS": "200"})


def test_every_step_gives_the_same_bytes(captured: Path) -> None:
    done = run(captured, "replay", "--last", "99", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0, done.stdout
    assert len(told) == len(STEPS) + 1
    assert all(one["same"] and not one["another_build"] for one in told)
    assert sum(len(one["runs"]) == 2 for one in told) == len(STEPS) + 1 - 4  # plain, diffusion and relaxed are not


def test_another_step_is_found_out(captured: Path, tmp_path: Path) -> None:
    """The same request, with another seed: what is captured is not what the record is about."""
    store = RecordStore(captured)
    record = next(one for one in store.latest(99) if one.captured)
    contents = ContentStore(content_file(captured))
    asked = contents.get(record.request_id)
    assert record.request_salt == b""
    asked.request.sampling.seed += 1
    copy = tmp_path / captured.name
    copy.write_bytes(captured.read_bytes())
    ContentStore(content_file(copy)).put(record.request_id, asked)
    done = run(copy, "replay", record.request_id)
    assert isinstance(done.exception, NotFound)
    assert "its hash differs" in str(done.exception)


def test_what_if(captured: Path) -> None:
    records = RecordStore(captured).latest(99)
    record = next(one for one in records if one.decision.plan.mode == decoding_pb2.MODE_DIFFUSION)
    told = json.loads(run(captured, "what-if", record.request_id, "--mode", "autoregressive", "--json").stdout)
    assert told["was"]["mode"] == "diffusion"
    assert told["now"]["passes"] == told["now"]["tokens"]
    assert told["another_build"] == []
    shown = run(captured, "what-if", record.request_id, "--policy", str(Path("policies/latency-first.yaml").resolve()))
    assert "times as fast" in shown.stdout
    assert run(captured, "what-if", record.request_id).exit_code == 2


def test_what_if_of_parts(captured: Path) -> None:
    """What ran where, and not what was decided for the rest. Where a part ends goes by the drafts, to a token or so."""
    record = next(one for one in RecordStore(captured).latest(99) if one.decision.rule_id == "parts")
    wrote = {mode_word(part.plan).replace("/", " ") for part in record.finish.segments if part.tokens}
    assert len(wrote) > 1
    command = (captured, "what-if", record.request_id, "--mode", "autoregressive")
    told = json.loads(run(*command, "--json").stdout)
    modes = told["was"]["modes"]
    assert set(modes) == wrote
    assert list(modes.values()) == sorted(modes.values(), reverse=True)
    assert sum(modes.values()) == told["was"]["tokens"]
    assert told["now"]["modes"] == {"autoregressive": told["now"]["tokens"]}
    shown = run(*command).stdout
    assert all(re.search(rf"was .*{mode} \d+", shown) for mode in wrote)


def test_redacted(captured: Path, tmp_path: Path) -> None:
    copy = tmp_path / captured.name
    for path in captured.parent.glob(f"{captured.name}*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = next(one for one in RecordStore(copy).latest(99) if one.captured)
    assert "removed" in run(copy, "redact", record.request_id, "--reason", "asked for", "--author", "me").stdout
    assert "redacted" in str(run(copy, "replay", record.request_id).exception)
    skipping = run(copy, "replay", "--last", "2", "--json")
    assert (skipping.exit_code, len(skipping.stdout.splitlines())) == (0, 1)
    assert f"skipped: the content of {record.request_id}" in skipping.stderr
    assert "nothing" in run(copy, "redact", record.request_id, "--reason", "again").stdout
    assert not verify(copy).problems
    listed = run(copy, "list", "--kind", "content.redacted", "--json").stdout.splitlines()
    assert json.loads(listed[-1])["detail"]["reason"] == "asked for"


def test_nothing_of_a_quiet_step_is_kept(captured: Path) -> None:
    quiet = next(one for one in RecordStore(captured).latest(99) if one.decision.rule_id == "kept-out")
    assert not quiet.captured
    assert not quiet.HasField("features")
    assert (quiet.request_sha256, quiet.request_salt) == ("", b"")
    everything = b"".join(path.read_bytes() for path in captured.parent.iterdir())
    assert SECRET.encode() not in everything
    assert re.search(rb"lighthouse", everything) is None  # captured, and packed


def test_usage(captured: Path) -> None:
    assert run(captured, "replay").exit_code == 2
    quiet = next(one for one in RecordStore(captured).latest(99) if not one.captured)
    assert "was not captured" in str(run(captured, "replay", quiet.request_id).exception)


def test_stats(captured: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "stats.svg"
    more = ("--by", "mode", "--price-per-hour", "3600", "--second-look", "1", "--plot", str(plot), "--json")
    done = CliRunner().invoke(app, ["audit", "stats", "--records", str(captured), *more])
    assert done.exception is None, done.output
    told = json.loads(done.stdout)
    groups = {group["mode"]: group for group in told["groups"]}
    assert {"autoregressive", "diffusion", "self_speculation/linear", "self_speculation/quadratic"} <= set(groups)
    assert groups["autoregressive"]["tokens_per_forward"] == pytest.approx(1, abs=0.1)
    assert groups["self_speculation/linear"]["accepted_length"] > 0
    assert all(0 < group["device_seconds"] == pytest.approx(group["cost"], abs=1e-5) for group in groups.values())
    looked = sum(bucket["looked_at"] for bucket in told["diffusion_confidence"])
    assert 0 < looked < sum(bucket["tokens"] for bucket in told["diffusion_confidence"])
    assert plot.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    table = CliRunner().invoke(app, ["audit", "stats", "--records", str(captured), "--by", "step,mode,rule"])
    assert {"self_speculation", "quadratic", "kept-out", "seconds", "again"} <= set(table.stdout.split())


def test_stats_names_what_it_can_group_by(captured: Path) -> None:
    done = CliRunner().invoke(app, ["audit", "stats", "--records", str(captured), "--by", "mood"])
    assert (done.exit_code, "step, mode" in done.output) == (2, True)


async def test_a_second_look_at_autoregression_agrees(captured: Path) -> None:
    record = RecordStore(captured).latest(100)[-1]
    again = Again.of(record, ContentStore(content_file(captured)))
    asked = to_engine(again.message, again.request, again.attempt, "")
    supervisor = Supervisor(Settings(records=captured))
    try:
        await supervisor.start(lambda stage: None)
        ids = list(record.token_ids)
        found = [await next_token(supervisor.client, asked, ids[:place]) for place in range(len(ids))]
    finally:
        await supervisor.close()
    assert found == ids
