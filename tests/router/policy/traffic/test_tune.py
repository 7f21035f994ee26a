"""Proposals on traffic of a known engine: better, reviewable, and about nothing that records can't judge."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from triroute.router.policy import parse
from triroute.router.policy.load import Policy
from triroute.router.policy.traffic import Traffic
from triroute.router.policy.traffic.simulate import engine_of
from triroute.router.policy.traffic.tune import Bar, Tuning, tune

from .synthetic import Known

POLICY = """# Ours.
version: 1
metadata: {name: ours}
defaults: {draft_sources: [diffusion]}  # no lookups here
rules:
  # Code is easy.
  - id: code
    when: {step: code}
    use: {mode: self_speculation, block_length: 16}   # too long
  - id: sketch
    when: {step: plan}
    use:
      mode: diffusion
      block_length: 8
      confidence_threshold: 0.9 # as before
  - {id: rest, use: {mode: autoregressive}}
"""
LOADED = """version: 1
metadata: {name: loaded}
defaults: {draft_sources: [diffusion]}
rules:
  - id: crowded   # a guess
    when: {load: {running: {gte: 64, resume_at: 32}}}
    use: {mode: autoregressive}
  - id: rest
    use: {mode: self_speculation, block_length: 4}
"""


def _traffic(known: Known, policy: Policy, kinds: tuple[str, ...], count: int) -> Traffic:
    return known.traffic(*(known.step(policy, kinds[number % len(kinds)], number) for number in range(count)))


def _tuned(text: str, traffic: Traffic, only: str = "") -> Tuning:
    return tune(text, "p.yaml", traffic, engine_of(traffic), Bar(0.02, 20, only))


def test_block_length_and_threshold(tmp_path: Path) -> None:
    tuned = _tuned(POLICY, _traffic(Known(chance=0.4), parse(POLICY, "p"), ("code", "plan", "prose"), 90))
    block, threshold = tuned.proposals
    assert (block.name, block.before, block.steps) == ("rule code: block_length", 16, 30)
    assert block.after == "auto" or block.after in (2, 3, 4)
    assert block.gain > 0.02
    # Proposals have a confidence of 0.95 or little: that far the bar costs nothing.
    assert (threshold.name, threshold.before, threshold.after) == ("rule sketch: confidence_threshold", 0.9, 0.95)
    assert tuned.after.tokens_per_second > tuned.before.tokens_per_second
    assert tuned.unknown == ()
    after = parse(tuned.text, "p")
    assert [rule.plan.mode for rule in after.compiled.rules] == [
        rule.plan.mode for rule in parse(POLICY, "p").compiled.rules
    ]
    for comment in ("# Ours.", "# no lookups here", "# Code is easy.", "# too long", "# as before"):
        assert comment in tuned.text
    (tmp_path / "p.yaml").write_text(POLICY)
    subprocess.run(["patch", "-p0"], input=f"# told\n{tuned.diff}", text=True, cwd=tmp_path, check=True)
    assert (tmp_path / "p.yaml").read_text() == tuned.text


def test_load_limit_moves_to_where_drafting_stops_to_pay() -> None:
    known, policy, rng = Known(chance=0.5, steep=0.02), parse(LOADED, "p"), random.Random(1)
    crowds = [rng.choice((0, 1, 10, 14)) for _ in range(80)]
    steps = [known.step(policy, "prose", number, others, 4) for number, others in enumerate(crowds)]
    (limit,) = (tuned := _tuned(LOADED, known.traffic(*steps), "load")).proposals
    assert limit.name == "rule crowded: load.running gte"
    assert limit.before == 64
    assert limit.after in (1, 2, 3, 4, 6, 8)
    (rule, _) = parse(tuned.text, "p").file.rules
    assert rule.when is not None
    assert rule.when.load is not None
    bounds = rule.when.load.running
    assert bounds is not None
    assert bounds.gte == limit.after
    assert bounds.resume_at is not None
    assert bounds.resume_at < bounds.gte
    assert "# a guess" in tuned.text


def test_good_numbers_stay() -> None:
    first = _tuned(POLICY, _traffic(Known(chance=0.4), parse(POLICY, "p"), ("code", "plan", "prose"), 90))
    again = _traffic(Known(chance=0.4), parse(first.text, "p"), ("code", "plan", "prose"), 90)
    tuned = _tuned(first.text, again)
    assert [one for one in tuned.proposals if "threshold" in one.name] == []
    assert all(one.gain < 0.15 for one in tuned.proposals)


def test_what_plays_no_part_is_left_alone() -> None:
    """A threshold among the defaults, and no diffusion: nothing to raise."""
    text = POLICY.replace("defaults: {", "defaults: {confidence_threshold: 0.5, ")
    tuned = _tuned(text, _traffic(Known(), parse(text, "p"), ("prose",), 40))
    assert tuned.proposals == ()


def test_few_steps_say_nothing() -> None:
    tuned = _tuned(POLICY, _traffic(Known(), parse(POLICY, "p"), ("code", "prose"), 20))
    assert (tuned.proposals, tuned.diff, tuned.text) == ((), "", POLICY)
    assert tuned.unknown == ("code", "sketch", "rest")


@pytest.mark.parametrize("kind", ["code", "prose"])
def test_nothing_rests_on_a_guess(kind: str) -> None:
    """Autoregressive traffic tells nothing of drafts, so no width is proposed."""
    text = POLICY.replace("mode: self_speculation", "mode: autoregressive")
    tuned = _tuned(POLICY, _traffic(Known(), parse(text, "p"), (kind,), 40))
    assert tuned.proposals == ()
