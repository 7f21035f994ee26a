"""When a canary is stopped: hardly ever without need, soon with it. All chance here is seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.policy.trial import Candidate, tally
from triroute.router.policy.trial.evidence import ODDS, Evidence, log_mean
from triroute.router.policy.trial.judge import FALSE_ALARMS, LEAST_STEPS, Judge

A = "a" * 64


def try_out(
    rng: random.Random,
    *,
    steps: int,
    fails: tuple[float, float] = (0.02, 0.02),
    slower: float = 1.0,
    percent: float = 5,
    good: int = 0,
    judges: Sequence[Judge] = (),
) -> int:
    """The step at which a canary is stopped, 0 for never. `fails`: active, candidate; from step `good` on."""
    judges = judges or [Judge(Candidate(A, percent))]
    for number in range(1, steps + 1):
        judge = rng.choice(judges)
        canary = 100 * rng.random() < percent
        worse = canary and number > good
        failed = rng.random() < fails[worse]
        ms = None if failed else 10 * math.exp(rng.gauss(0, 0.5)) * (slower if worse else 1.0)
        judge.note(canary, failed, ms)
        if canary:
            judge.others = [other.own for other in judges if other is not judge]
            if judge.verdict():
                return number
    return 0


@pytest.mark.parametrize(
    ("fails", "slower", "percent"),
    [
        ((0.02, 0.02), 1.0, 5),  # as good
        ((0.04, 0.0588), 1.2, 20),  # as bad as is allowed, in both ways: odds 1.5 times as high
    ],
)
def test_false_alarms_are_rare(fails: tuple[float, float], slower: float, percent: float) -> None:
    rng, runs = random.Random(4), 200
    stops = sum(try_out(rng, steps=2_000, fails=fails, slower=slower, percent=percent) > 0 for _ in range(runs))
    print(f"{stops} of {runs} stopped without need")
    assert stops <= 7  # at most 2 are expected; 8 or more come once in 1,000


@pytest.mark.parametrize(
    ("what", "fails", "slower", "within"),
    [
        ("all fail", (0.001, 1.0), 1.0, 2_000),
        ("one in five fails", (0.001, 0.2), 1.0, 4_000),
        ("five times the failures", (0.02, 0.1), 1.0, 10_000),
        ("twice as slow", (0.001, 0.001), 2.0, 3_000),
        ("half as slow again", (0.001, 0.001), 1.5, 8_000),
    ],
)
def test_worse_ones_are_stopped(what: str, fails: tuple[float, float], slower: float, within: int) -> None:
    rng = random.Random(5)
    stops = sorted(try_out(rng, steps=within, fails=fails, slower=slower) for _ in range(10))
    print(f"{what}: stopped after {stops[5]} steps, {stops[5] // 20} of the canary (median)")
    assert 0 not in stops


def test_one_that_turns_bad_late_is_found_nearly_as_soon() -> None:
    rng = random.Random(6)
    stops = sorted(try_out(rng, steps=16_000, slower=2.0, good=12_000) for _ in range(5))
    assert 12_000 < stops[0] <= stops[-1] < 15_000


def test_a_fleet_decides_by_what_all_have_seen() -> None:
    rng = random.Random(7)
    judges = [Judge(Candidate(A, 5)) for _ in range(4)]
    stop = try_out(rng, steps=20_000, fails=(0.02, 0.2), judges=judges)
    assert stop
    assert max(judge.own.canary.steps for judge in judges) < LEAST_STEPS  # none would have, alone


def test_drift_in_both_arms_is_no_reason() -> None:
    rng, judge = random.Random(8), Judge(Candidate(A, 20))
    for number in range(6_000):
        bad = number // 1_000 % 2
        canary = rng.random() < 0.2
        judge.note(canary, rng.random() < (0.6 if bad else 0.01), math.exp(rng.gauss(0, 0.3)) * (9 if bad else 1))
        assert not judge.verdict()


def test_it_says_the_figures() -> None:
    judge = Judge(Candidate(A, 50))
    for number in range(200):
        judge.note(number % 2 == 0, number % 2 == 0, 10.0)
    assert judge.verdict() == "100 of 100 steps failed (100.0%), of the active policy's 0 of 100 (0.0%)"
    slow = Judge(Candidate(A, 50))
    for number in range(400):
        slow.note(number % 2 == 0, False, (30.0 if number % 2 == 0 else 10.0) + number % 3)
    assert slow.verdict().startswith("milliseconds a token of 200 steps, and of 200 of the active policy: p50 3")


def test_a_few_steps_are_never_enough() -> None:
    judge = Judge(Candidate(A, 50))
    for _ in range(LEAST_STEPS - 1):
        judge.note(True, True, None)
        judge.note(False, False, 1.0)
    assert not judge.verdict()


def sessions(rng: random.Random, *, broken: float, fails: float, steps: int = 8_000) -> int:
    """200 sessions at a time, of about 20 steps, 3 s each; some go wrong half of the time, of both arms.

    The candidate fails with probability `fails`. The step at which it is stopped, 0 for never.
    """
    judge, made = Judge(Candidate(A, 5)), iter(range(steps))

    def session() -> tuple[str, bool, float]:
        canary = rng.random() < 0.05
        own = 0.5 if rng.random() < broken else 0.01
        return str(next(made)), canary, max(own, fails) if canary else own

    live = [session() for _ in range(200)]
    for number in range(steps):
        at = rng.randrange(len(live))
        key, canary, bad = live[at]
        judge.note(canary, rng.random() < bad, None, key, now=number * 3 / len(live))
        if rng.random() < 1 / 20:
            live[at] = session()
        if canary and judge.verdict():
            return number
    return 0


def test_sessions_that_fail_again_and_again_are_no_reason() -> None:
    rng = random.Random(10)
    assert sum(sessions(rng, broken=0.02, fails=0.0) > 0 for _ in range(50)) <= 2


def test_candidates_that_break_sessions_are_stopped() -> None:
    rng = random.Random(11)
    stops = sorted(sessions(rng, broken=0.02, fails=0.5) for _ in range(10))
    print(f"stopped after {stops[5]} steps, {stops[5] // 20} of the canary (median)")
    assert 0 not in stops


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(1, 60)).flatmap(
            lambda sizes: st.tuples(
                st.integers(0, sizes[0]), st.just(sizes[0]), st.integers(0, sizes[1]), st.just(sizes[1])
            )
        ),
        max_size=30,
    ),
    st.floats(1, 5),
)
def test_evidence_stays_finite(blocks: list[tuple[int, int, int, int]], ratio: float) -> None:
    evidence = Evidence(ratio)
    for block in blocks:
        evidence.add(*block)
        assert all(math.isfinite(value) for value in evidence.logs)


@given(st.integers(1, 15), st.integers(1, 25), st.integers(0, 40), st.floats(1, 5))
def test_a_block_is_worth_one_on_average(steps: int, others: int, total: int, ratio: float) -> None:
    """The promise itself, summed over all outcomes of a block: where odds are `ratio` times as high, no more than 1."""
    total = min(total, steps + others)
    outcomes = range(max(0, total - others), min(total, steps) + 1)
    weights = [math.comb(steps, bad) * math.comb(others, total - bad) * ratio**bad for bad in outcomes]
    average = 0.0
    for bad, weight in zip(outcomes, weights, strict=True):
        evidence = Evidence(ratio)
        evidence.add(bad, steps, total - bad, others)
        average += math.exp(log_mean(evidence.logs)) * weight / sum(weights)
    assert average == pytest.approx(1.0)


def test_tallies_survive_the_store() -> None:
    judge, rng = Judge(Candidate(A, 50)), random.Random(9)
    for _ in range(100):
        judge.note(rng.random() < 0.5, rng.random() < 0.1, rng.random())
    judge.own.shadow.add(("a", "b"), False)
    judge.own.shadow.add(("a", "a"), True)
    assert tally.loads(judge.own.dumps()) == judge.own
    assert len(judge.own.errors) == len(ODDS)
    for broken in ("", "[]", "{}", '{"arms": 5}', judge.own.dumps().replace('"errors": [', '"errors": [1, ')):
        with pytest.raises(ValueError, match=r"no tally|Expecting value"):
            tally.loads(broken)


def test_rule_pairs_are_bounded() -> None:
    counts = tally.ShadowCount()
    for number in range(1_000):
        counts.add((str(number), "x"), number % 2 == 0)
    assert len(counts.agree) + len(counts.differ) <= tally.MOST_PAIRS + 2
    assert counts.agree.total() + counts.differ.total() == 1_000


def test_promised_rate_is_what_the_docs_say() -> None:
    assert FALSE_ALARMS == 0.01
