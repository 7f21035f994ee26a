"""Predictions against an engine that is known in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.router.errors import NotFound
from triroute.router.policy import Policy, parse
from triroute.router.policy.traffic import Traffic
from triroute.router.policy.traffic.costs import Costs
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.plot import draw
from triroute.router.policy.traffic.simulate import check, engine_of, observed, simulate

from .synthetic import Known, P

USES = {
    "ar": "mode: autoregressive",
    "linear-2": "mode: self_speculation, block_length: 2, draft_sources: [diffusion]",
    "linear-5": "mode: self_speculation, block_length: 5, draft_sources: [diffusion]",
    "linear-16": "mode: self_speculation, block_length: 16, draft_sources: [diffusion]",
    "quadratic-4": "mode: self_speculation, variant: quadratic, block_length: 4, draft_sources: [diffusion]",
    "diffusion-8": "mode: diffusion, block_length: 8, confidence_threshold: 0.9",
}


def policy(name: str) -> Policy:
    return parse(f"version: 1\nmetadata: {{name: {name}}}\nrules: [{{id: all, use: {{{USES[name]}}}}}]\n", name)


def run(known: Known, name: str, count: int = 30, others: int = 0, width: float = 1) -> Traffic:
    kinds = ("plan", "code", "prose")
    chosen = policy(name)
    return known.traffic(*(known.step(chosen, kinds[number % 3], number, others, width) for number in range(count)))


@pytest.mark.parametrize("name", USES)
def test_what_was_recorded_is_predicted(name: str) -> None:
    traffic = run(Known(), name)
    predicted, was = simulate(policy(name), traffic, engine_of(traffic)), observed(traffic)
    assert predicted.tokens_per_second == pytest.approx(was.tokens_per_second, rel=0.1)
    assert predicted.p50_seconds == pytest.approx(was.p50_seconds, rel=0.15)
    assert predicted.rests == {Evidence.SAME: 30}
    assert predicted.modes == was.modes
    checked = check(traffic)
    assert abs(checked.bias) < 0.1
    assert checked.spread < 0.25


@pytest.mark.parametrize("learned", ["linear-5", "quadratic-4"])
@pytest.mark.parametrize("chance", [0.2, 0.9])
def test_what_was_not_recorded_is_ranked(learned: str, chance: float) -> None:
    known = Known(chance=chance)
    traffic = run(known, learned)
    names = ("ar", "linear-2", "linear-5", "linear-16", "quadratic-4")
    truth = {name: observed(run(Known(chance=chance), name)).tokens_per_second for name in names}
    engine = engine_of(traffic)
    said = {name: simulate(policy(name), traffic, engine).tokens_per_second for name in names}
    for fast in names:
        for slow in names:
            if truth[fast] > 1.15 * truth[slow]:
                assert said[fast] > said[slow], (fast, slow, said, truth)


def test_what_passes_really_take() -> None:
    """The table says how they compare, records how long they take."""
    known = Known(slow=2.0, overhead=0.03)
    steps = (*run(known, "linear-2").steps, *run(known, "linear-16").steps)
    costs = engine_of(known.traffic(*steps)).costs
    for rows in (1, 5, 16):
        assert costs.seconds(P.KIND_VERIFY, rows) == pytest.approx(0.03 + 2 * known.seconds(rows), rel=0.05)
    one_width = engine_of(run(known, "ar")).costs
    assert one_width.seconds(P.KIND_DECODE, 1) == pytest.approx(0.03 + 2 * known.seconds(1), rel=0.01)
    untold = Costs.of(known.description().costs)
    assert untold.seconds(P.KIND_DECODE, 4) == known.seconds(4)


def test_company_decides() -> None:
    """Beyond eight rows each one costs: alone, drafting pays; among seven others it does not."""
    alone, crowd = run(Known(), "linear-5"), run(Known(), "linear-5", others=7, width=5)
    for traffic, better, worse in ((alone, "linear-5", "ar"), (crowd, "ar", "linear-5")):
        engine = engine_of(traffic)
        fast, slow = (simulate(policy(name), traffic, engine).tokens_per_second for name in (better, worse))
        assert fast > 1.1 * slow


def test_what_nobody_has_seen_is_said() -> None:
    traffic = run(Known(), "ar")
    predicted = simulate(policy("linear-5"), traffic, engine_of(traffic))
    assert predicted.rests == {Evidence.PRIOR: 30}
    assert {(str(kind), plan) for kind, plan, _ in predicted.unseen} == {
        (kind, "self_speculation linear block 5") for kind in ("plan", "code", "prose")
    }
    traffic = run(Known(), "linear-5")
    engine = engine_of(traffic)
    assert set(simulate(policy("linear-16"), traffic, engine).rests) == {Evidence.WIDTHS}
    assert set(simulate(policy("quadratic-4"), traffic, engine).rests) == {Evidence.VARIANTS}
    with_lookup = parse(
        "version: 1\nmetadata: {name: l}\nrules: [{id: all, use: {mode: self_speculation, block_length: 5}}]\n", "l"
    )
    assert set(simulate(with_lookup, traffic, engine).rests) == {Evidence.PRIOR}
    assert simulate(policy("ar"), traffic, engine).unseen == {}


def test_nothing_to_learn_from() -> None:
    with pytest.raises(NotFound, match="no record of a step that ran"):
        engine_of(Traffic(()))
    steps = run(Known(), "ar", 2).steps
    with pytest.raises(NotFound, match="know no costs of passes"):
        engine_of(Traffic(steps, alike=frozenset({Known().digest})))


def test_plot(tmp_path: Path) -> None:
    traffic = run(Known(), "ar", 3)
    draw(tmp_path / "p.svg", [observed(traffic), simulate(policy("ar"), traffic, engine_of(traffic))])
    assert "<svg" in (tmp_path / "p.svg").read_text()
    with pytest.raises(ValueError, match="not supported"):
        draw(tmp_path / "p.nothing", [observed(traffic)])
