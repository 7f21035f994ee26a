"""Each mode against hand-written answers: never, always and sometimes accepted."""

from __future__ import annotations

import pytest

from triroute.engine.modes.autoregressive import Autoregressive
from triroute.engine.modes.base import Commit, Pattern, Rows, Span, View
from triroute.engine.modes.diffusion import Diffusion
from triroute.engine.modes.linear_speculation import LinearSpeculation
from triroute.engine.types import PassKind

MASK, END = 99, 2


def test_autoregressive() -> None:
    mode, view = Autoregressive(), View(seed=7, remaining=3)
    assert mode.plan(view) == Span(PassKind.DECODE, (7,), exact_row=0)
    assert mode.absorb(view, Rows(exact=(8,))) == Commit((8,), written=1)


@pytest.mark.parametrize(
    ("exact", "accepted", "rejected"),
    [((50,), 0, (11, 12)), ((11, 50), 1, (12,)), ((11, 12, 13), 2, ())],
    ids=["never", "sometimes", "always"],
)
def test_linear_speculation(exact: tuple[int, ...], accepted: int, rejected: tuple[int, ...]) -> None:
    mode, view = LinearSpeculation(3, MASK), View(seed=7, remaining=10)
    draft = mode.plan(view)
    assert draft == Span(PassKind.DRAFT, (7, MASK, MASK), Pattern.SEED_CAUSAL, exact_row=0, propose=(1, 2))
    drafted = mode.absorb(view, Rows(exact=(10,), proposed=(11, 12), confidences=(0.5, 0.25)))
    assert (drafted.tokens, drafted.written) == ((10,), 1)
    verify = mode.plan(View(seed=10, remaining=9))
    assert verify == Span(PassKind.VERIFY, (10, 11, 12), exact_row=0, expected=(11, 12))
    verified = mode.absorb(View(seed=10, remaining=9), Rows(exact=exact))
    assert verified == Commit(exact, written=1 + accepted, accepted=accepted, rejected=rejected)
    assert mode.plan(view).kind is PassKind.DRAFT


def test_linear_speculation_does_not_draft_past_the_end() -> None:
    assert LinearSpeculation(8, MASK).plan(View(seed=7, remaining=1)) == Span(PassKind.DECODE, (7,), exact_row=0)
    assert len(LinearSpeculation(8, MASK).plan(View(seed=7, remaining=3)).tokens) == 3


def test_diffusion_fixes_the_confident_and_always_one() -> None:
    mode, view = Diffusion(3, 0.9, 5, MASK, {END}), View(seed=7, remaining=10)
    assert mode.plan(view) == Span(PassKind.DENOISE, (7, MASK, MASK), Pattern.BLOCK, propose=(0, 1, 2))
    first = mode.absorb(view, Rows(proposed=(11, 12, 13), confidences=(0.1, 0.95, 0.92)))
    assert (first.tokens, first.written, first.fixed_slots) == ((), 0, (1, 2))
    assert mode.plan(view) == Span(PassKind.DENOISE, (7, MASK, 12), Pattern.BLOCK, propose=(0,))
    assert mode.absorb(view, Rows(proposed=(14,), confidences=(0.01,))).fixed_slots == (0,)
    assert mode.plan(view) == Span(PassKind.REFRESH, (7, 14, 12, 13), exact_row=3)
    assert mode.absorb(view, Rows(exact=(15,))) == Commit((14, 12, 13, 15), written=4)


def test_diffusion_stops_refining_at_max_steps() -> None:
    mode, view = Diffusion(4, 0.9, 1, MASK, {END}), View(seed=7, remaining=10)
    mode.plan(view)
    assert mode.absorb(view, Rows(proposed=(1, 3, 4, 5), confidences=(0.1,) * 4)).fixed_slots == (0, 1, 2, 3)
    assert mode.plan(view).kind is PassKind.REFRESH


def test_diffusion_drops_what_follows_the_end() -> None:
    mode, view = Diffusion(4, 0.9, 9, MASK, {END}), View(seed=7, remaining=10)
    mode.plan(view)
    mode.absorb(view, Rows(proposed=(11, END, 12, 13), confidences=(0.95, 0.95, 0.1, 0.1)))
    assert mode.plan(view) == Span(PassKind.REFRESH, (7, 11, END), exact_row=2)


@pytest.mark.parametrize(
    ("pattern", "limits"),
    [(Pattern.CAUSAL, [5, 6, 7]), (Pattern.BLOCK, [7, 7, 7]), (Pattern.SEED_CAUSAL, [5, 7, 7])],
)
def test_patterns(pattern: Pattern, limits: list[int]) -> None:
    assert Span(PassKind.DRAFT, (1, 2, 3), pattern).limits(5) == limits
