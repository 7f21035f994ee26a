"""`auto` drafts where it pays, does not where it does not, and finds out when that changes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from triroute.engine.costs import Costs
from triroute.engine.modes.auto import Acceptance, Candidate, Chooser, Key, Patience
from triroute.engine.modes.base import Company, View
from triroute.engine.types import DraftSource

LOOKUP: Key = (DraftSource.PROMPT_LOOKUP, 3)
OFF = Candidate((1,))
WIDE = Candidate((9,), LOOKUP, 8)
NARROW = Candidate((3,), LOOKUP, 2)
VIEW = View((7,), remaining=100)
FLAT = Costs([1.0] * 65)
STEEP = Costs([float(max(rows, 1)) for rows in range(65)])


def _chooser(costs: Costs, accepted: float) -> Chooser:
    """One that has seen so many of eight drafts held."""
    chooser = Chooser(costs, Acceptance(), Patience())
    for _ in range(60):
        chooser.learn(WIDE, 8, round(8 * accepted))
    return chooser


def test_drafts_widely_where_rows_are_free() -> None:
    assert _chooser(FLAT, 1.0).pick([OFF, NARROW, WIDE], VIEW) == WIDE


def test_does_not_draft_where_rows_cost_and_drafts_fail() -> None:
    chooser = _chooser(STEEP, 0.0)
    assert all(chooser.pick([OFF, NARROW, WIDE], VIEW) == OFF for _ in range(50))


@pytest.mark.parametrize("accepted", [0.0, 1.0])
def test_tries_a_failing_source_ever_more_rarely(accepted: float) -> None:
    """Free rows: a try costs nothing, so that it is made at all."""
    chooser, tries = _chooser(FLAT, 0.0), []
    failing = Candidate((9,), (DraftSource.DIFFUSION, 0), 8)
    for _ in range(200):
        chooser.learn(failing, 8, 0)
    costs = Costs([1.0, 1.0, *[1.1] * 63])
    chooser = Chooser(costs, chooser._history, chooser._patience)
    for cycle in range(1500):
        if chooser.pick([OFF, failing], VIEW) == failing:
            tries.append(cycle)
            chooser.learn(failing, 8, round(8 * accepted))
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    if accepted:
        assert gaps[-1] == 1, "what pays again is drafted from again"
    else:
        assert 3 <= len(tries) <= 12
        assert max(gaps) > 200


def test_others_in_the_pass_make_rows_dearer() -> None:
    """Alone four more rows cost nothing; beside sixteen rows of others they cost."""
    costs = Costs([max(16.0, float(rows)) for rows in range(65)])
    chooser = _chooser(costs, 0.25)
    assert chooser.pick([OFF, WIDE], VIEW) == WIDE
    busy = View((7,), remaining=100, company=Company(sequences=16, rows=16))
    assert chooser.pick([OFF, WIDE], busy) == OFF


def test_a_pass_that_was_faster_than_measured_corrects_the_costs() -> None:
    costs = Costs([0.0, 9.0, 10.0, 10.0, 12.0], per_key=1.0)
    costs.observe(3, 11.0)
    assert costs == Costs([0.0, 9.0, 10.0, 10.0, 12.0], per_key=1.0), "others may have been in the way"
    costs.observe(3, 4.0)
    assert costs == Costs([0.0, 4.0, 4.0, 4.0, 12.0], per_key=4.0 / 1024)
    costs.observe(99, 0.1)
    assert costs.base[-1] == 12.0, "what was never measured is estimated from this"
