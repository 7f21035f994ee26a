"""What `simulate` predicts, against what the embedded engine then does."""

from __future__ import annotations

import asyncio
import dataclasses
from statistics import median

from triroute.proto import router_pb2
from triroute.router.policy import Policy, parse
from triroute.router.policy.traffic import Recorded, Traffic, read_traffic
from triroute.router.policy.traffic.costs import Costs
from triroute.router.policy.traffic.simulate import engine_of, simulate
from triroute.router.prompts import build

from .conftest import Running

# One token a pass; text that repeats its prompt, copied from it; and passes of 64 rows of which most are in vain.
USES = {
    "plain": {"mode": "autoregressive"},
    "copied": {"mode": "self_speculation", "block_length": 8, "draft_sources": ["prompt_lookup"]},
    "wide": {"mode": "self_speculation", "variant": "quadratic", "block_length": 8, "draft_sources": ["diffusion"]},
}
# Prediction and truth are in these seconds, by rows, so that neighbours of this machine can't decide which is faster.
COSTS = Costs(tuple(0.002 + 0.0005 * rows for rows in range(65)), key_seconds=0.0, draft_seconds=0.0)
LEARNED = ("one two three four five six seven eight nine ten ", "red green blue white black pink grey ")
ASKED = ("north east south west up down left right in out ", "oak elm ash fir yew box bay ")


def _policy(name: str) -> Policy:
    words = ", ".join(f"{key}: {value}".replace("'", "") for key, value in USES[name].items())
    return parse(f"version: 1\nmetadata: {{name: {name}}}\nrules: [{{id: all, use: {{{words}}}}}]\n", name)


def _ran(running: Running, prompt: str, name: str) -> str:
    """The id of a step that ran so."""
    asked = build({"prompt": prompt * 6, "raw": True, "max_tokens": 18, **USES[name]}, "test")
    events = list(running.stub.Generate(asked))
    decision: router_pb2.Decision = events[0].decision
    return decision.request_id


def test_policies_are_ranked_as_they_run(running: Running) -> None:
    learned = {_ran(running, prompt, name) for prompt in LEARNED for name in USES}
    asked = {name: [_ran(running, prompt, name) for prompt in ASKED] for name in USES}
    asyncio.run_coroutine_threadsafe(running.service.pipeline.settle(), running.loop).result(timeout=30)
    running.service.pipeline.records.flush()
    traffic = read_traffic(running.service.records, 1_000)
    steps = {step.id: step for step in traffic.steps}
    engine = dataclasses.replace(engine_of(traffic, [steps[one] for one in learned]), costs=COSTS)
    # Only what ran autoregressively is known of the steps to predict: nothing of their own drafts.
    plain = dataclasses.replace(traffic, steps=tuple(steps[one] for one in asked["plain"]))
    said = {name: simulate(_policy(name), plain, engine).tokens_per_second for name in USES}
    truth = {name: median(_speed(steps[one]) for one in ids) for name, ids in asked.items()}
    assert sorted(USES, key=lambda name: said[name]) == sorted(USES, key=lambda name: truth[name]), (said, truth)
    assert all(0.5 < said[name] / truth[name] < 2 for name in USES), (said, truth)
    clock = {name: median(steps[one].tokens / steps[one].decode_seconds for one in asked[name]) for name in USES}
    assert min(clock, key=lambda name: clock[name]) == "wide", clock


def _speed(step: Recorded) -> float:
    """Tokens a second of the passes that ran, had each taken what COSTS says."""
    took = [COSTS.seconds(one.kind, one.width, len(one.proposed_ids), step.keys) for one in step.decoding]
    return step.tokens / sum(took)


def test_the_engine_says_what_its_passes_cost(running: Running) -> None:
    traffic: Traffic = read_traffic(running.service.records, 10)
    costs = running.service.supervisor.description.costs
    assert len(costs.pass_seconds) == 65
    assert 0 < costs.pass_seconds[1] <= costs.pass_seconds[64]
    assert traffic.engine.costs == costs or not traffic.steps
