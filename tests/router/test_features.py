"""A decision made again from a record is the decision that was made, for every policy and every request."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.proto import router_pb2
from triroute.router.classifier import classify
from triroute.router.convert.request import to_request
from triroute.router.convert.words import LATENCIES, MODES, SOURCES, STEPS, VARIANTS
from triroute.router.errors import HintRefused
from triroute.router.features import Asked, read, written
from triroute.router.loads import from_held, to_held
from triroute.router.policy import DEFAULT, Latches, Policy, decide, load, parse
from triroute.router.policy.account import account
from triroute.router.policy.facts import FACTS, Names
from triroute.router.prompts import build
from triroute.router.types import FleetLoad, Held, Load, Step

from .policy.generated import good_policy

SHIPPED = [load(path) for path in sorted(DEFAULT.parent.glob("*.yaml")) if not path.stem.endswith("_test")]

_texts = st.text('ab {}":`é\n', min_size=1, max_size=20)
_results = st.sampled_from(["Error: no", '{"ok": false}', '{"error": null}', "sunny", "Traceback (most recent"])
_call = {"id": "1", "function": {"name": "tool1_a", "arguments": "{}"}}
_messages = st.lists(
    st.one_of(
        st.builds(lambda text: {"role": "user", "content": text}, _texts),
        st.builds(lambda text: {"role": "assistant", "content": text, "tool_calls": [_call]}, _texts),
        st.builds(lambda text: {"role": "tool", "content": text, "tool_call_id": "1"}, _results),
    ),
    min_size=1,
    max_size=6,
)
_hints = st.fixed_dictionaries(
    {},
    optional={
        "step": st.sampled_from([str(kind) for kind in STEPS.values()]),
        "mode": st.sampled_from([str(mode) for mode in MODES.values()]),
        "variant": st.sampled_from([str(variant) for variant in VARIANTS.values()]),
        "block_length": st.integers(0, 40),
        "confidence_threshold": st.floats(0.25, 1, width=32),
        "max_steps": st.integers(1, 70),
        "draft_sources": st.lists(st.sampled_from([str(source) for source in SOURCES.values()]), max_size=2),
        "draft_threshold": st.floats(0, 1, width=32),
    },
)
_labels = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(st.sampled_from(["tool1_a", "tool2_b", "x"]), unique=True, min_size=1).map(
            lambda names: [{"name": name} for name in names]
        ),
        "json_schema": st.just({"type": "object"}),
        "max_tokens": st.integers(1, 900),
        "session_id": st.just("s"),
        "tags": st.lists(st.sampled_from(["draft", "tag0", "tag1", "tag2"]), unique=True),
        "tenant": st.sampled_from(["tenant-1-a", "tenant-2-b", "somebody"]),
        "expected_tokens": st.integers(0, 99),
        "latency_class": st.sampled_from([str(name) for name in LATENCIES.values()]),
        "first_token_ms": st.integers(0, 500),
    },
)
_asked = st.builds(lambda labels, hints, messages: labels | hints | {"messages": messages}, _labels, _hints, _messages)
_fleets = st.none() | st.builds(FleetLoad, st.integers(1, 9), st.integers(0, 99), st.integers(0, 9), st.floats(0, 1))
_load = st.builds(Load, st.integers(0, 45), st.integers(0, 2), st.floats(0, 1), fleet=_fleets)
_loads = st.lists(_load, min_size=1, max_size=3)


def _all(policy: Policy, asked: Asked, step: Step, now: Load) -> Any:
    """A decision with all its words, or why there is none."""
    try:
        told = account(policy, asked, step, now)
    except HintRefused as refused:
        return refused.message
    return told, told.decision.passed_over, told.decision.load


@settings(max_examples=150, deadline=None)
@given(asked=_asked, loads=_loads, seed=st.integers(0, 9999), raw=st.booleans())
def test_decided_again_from_the_record(asked: dict[str, Any], loads: list[Load], seed: int, raw: bool) -> None:
    made = parse(yaml.safe_dump(good_policy(random.Random(seed)), sort_keys=False), "made")
    if raw:
        asked = {name: value for name, value in asked.items() if name not in ("messages", "tools")}
        asked |= {"prompt": "go on", "raw": True}
    message = build(asked, "test")
    request = to_request(message)
    step = classify(request)
    for policy in (*SHIPPED, made):
        latches = Latches()
        now = [latches.see(one, policy.compiled.trips) for one in loads][-1]
        kept = written(request, message.hints, step, now).SerializeToString()
        assert _all(policy, *read(router_pb2.Features.FromString(kept))) == _all(policy, request, step, now)


@settings(max_examples=100, deadline=None)
@given(asked=_asked, now=_load)
def test_every_fact_is_kept(asked: dict[str, Any], now: Load) -> None:
    message = build(asked, "test")
    request = to_request(message)
    kept = written(request, message.hints, classify(request), now).SerializeToString()
    again = read(router_pb2.Features.FromString(kept))
    for name, fact in FACTS.items():
        live, recorded = fact.read(request, classify(request), now), fact.read(*again)
        if isinstance(fact, Names):
            live, recorded = set(live), set(recorded)
        assert live == recorded, name


@given(loads=_loads, seed=st.integers(0, 9999))
def test_what_a_session_held_is_kept(loads: list[Load], seed: int) -> None:
    trips = parse(yaml.safe_dump(good_policy(random.Random(seed)), sort_keys=False), "made").compiled.trips
    latches = Latches()
    held = Held([latches.see(one, trips) for one in loads][-1], 1_700_000_000_000_000, "router-1")
    assert to_held(router_pb2.HeldLoad.FromString(from_held(held).SerializeToString())) == held


@pytest.mark.parametrize("seed", range(20))
def test_policy_from_its_canonical_form(seed: int) -> None:
    policy = parse(yaml.safe_dump(good_policy(random.Random(seed)), sort_keys=False), "made")
    assert Policy.of_canonical(policy.canonical) == policy
    for shipped in SHIPPED:
        assert Policy.of_canonical(shipped.canonical) == shipped


def test_text_stays_out() -> None:
    message = build({"prompt": "a secret", "system": "another secret", "tools": [{"name": "pay"}]}, "test")
    request = to_request(message)
    kept = written(request, message.hints, classify(request), Load())
    assert b"secret" not in kept.SerializeToString()
    assert kept.prompt_characters == len("a secret") + len("another secret")


def test_decide_says_what_it_was_made_under() -> None:
    policy, now = SHIPPED[0], Load(3)
    decision = decide(policy, to_request(build({"prompt": "hi"}, "test")), Step(next(iter(STEPS.values())), 0.5), now)
    assert decision.load is now
    assert decision.canonical == policy.canonical
