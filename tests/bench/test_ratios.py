"""Rounds to ratios, ratios to verdicts."""

from __future__ import annotations

import pytest

from triroute.bench.fleet import Fleet
from triroute.bench.kinds import Kind
from triroute.bench.measure import Outcome, Round, Scale, Target, Turn, at_least, at_most, median_of
from triroute.bench.measures import MEASURES, QUICK
from triroute.bench.prompts import Prompts
from triroute.bench.run import missed
from triroute.engine.checkpoints import default_checkpoint


def test_a_ratio_is_the_median_of_ratios_within_rounds() -> None:
    rounds = (Round(10, 10), Round(40, 20), Round(300, 100))
    outcome = Outcome(MEASURES[0], rounds)
    assert outcome.ratio == 2
    assert outcome.ratios == [1, 2, 3]
    assert (outcome.ours, outcome.peer) == (40, 20)


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [(at_least(1.2), 1.2, True), (at_least(1.2), 1.19, False), (at_most(3), 3.0, True), (at_most(3), 3.01, False)],
)
def test_targets_include_their_bound(target: Target, ratio: float, met: bool) -> None:
    assert target.met(ratio) is met


def test_only_hard_targets_are_missed(outcomes: tuple[Outcome, ...]) -> None:
    assert missed(outcomes) == ["large", "absent"]


def test_details_have_medians() -> None:
    assert median_of([Round(1, 1, {"a": each}) for each in (3, 1, 2.5)], "a") == 2.5


def test_engines_take_turns_at_going_first() -> None:
    model = default_checkpoint()
    prompts = Prompts(model)
    first, second = (Turn(number, Fleet(model, 1), prompts, Scale()) for number in (0, 1))
    kinds = (Kind.OURS, Kind.LLAMACPP)
    assert first.order(*kinds) == kinds
    assert second.order(*kinds) == kinds[::-1]


def test_names_are_unique_and_quick_ones_exist() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert all(measure.kinds[0] is Kind.OURS for measure in MEASURES)
