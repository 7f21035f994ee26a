"""Plans go out and come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triroute.router.convert.plan import from_plan, to_plan
from triroute.router.types import DecodePlan, DraftSource, Mode, Variant, Verification


@given(
    mode=st.sampled_from(Mode),
    variant=st.sampled_from([None, *Variant]),
    numbers=st.tuples(st.integers(0, 64), st.floats(0, 1, width=32), st.integers(0, 64)),
    sources=st.frozensets(st.sampled_from(DraftSource)),
    others=st.tuples(st.floats(0, 1, width=32), st.integers(0, 64)),
)
def test_plans_come_back(
    mode: Mode,
    variant: Variant | None,
    numbers: tuple[int, float, int],
    sources: frozenset[DraftSource],
    others: tuple[float, int],
) -> None:
    plan = DecodePlan(mode, variant, *numbers, Verification.EXACT, sources, *others)
    assert to_plan(from_plan(plan)) == plan
