"""Each mode against hand-written answers: never, always and sometimes accepted."""

from __future__ import annotations

import pytest

from triroute.engine.costs import Costs
from triroute.engine.modes.auto import Acceptance, Chooser, Patience
from triroute.engine.modes.autoregressive import Autoregressive
from triroute.engine.modes.base import Commit, Draft, Found, Rows, View
from triroute.engine.modes.diffusion import Diffusion
from triroute.engine.modes.linear_speculation import LinearSpeculation
from triroute.engine.modes.quadratic_speculation import QuadraticSpeculation
from triroute.engine.span import Branch, Fork, Span
from triroute.engine.types import DraftSource, ModeName, PassKind, Plan

MASK, END = 99, 2
A, B, C = Draft(11, 0.5), Draft(12, 0.25), Draft(13, 0.9)
REPEATED = Found(3, (Draft(21, 1.0, DraftSource.PROMPT_LOOKUP), Draft(22, 1.0, DraftSource.PROMPT_LOOKUP)))


def _chooser() -> Chooser:
    return Chooser(Costs([1.0] * 65), Acceptance(), Patience())


def _linear(block_length: int, threshold: float = 0.0) -> LinearSpeculation:
    plan = Plan(ModeName.LINEAR_SPECULATION, block_length, max_steps=2, draft_threshold=threshold)
    return LinearSpeculation(plan, MASK, _chooser())


def _draft_span(pending: tuple[int, ...], slots: tuple[int, ...], *, may_fork: bool = True) -> Span:
    rows = tuple(range(len(pending), len(pending) + len(slots)))
    branches = (Branch(len(pending) - 1, slots),)
    fixed = (None,) * len(slots)
    return Span(
        PassKind.DRAFT, pending, len(pending) - 1, branches=branches, propose=rows, fixed=fixed, may_fork=may_fork
    )


def test_autoregressive() -> None:
    mode, view = Autoregressive(), View((6, 7), remaining=3)
    assert mode.plan(view) == Span(PassKind.DECODE, (6, 7), exact=1)
    assert mode.absorb(view, Rows((8, 9), forced=(1,))) == Commit((8, 9), (1,))


@pytest.mark.parametrize(
    ("exact", "accepted"), [((50,), 0), ((11, 50), 1), ((11, 12, 13), 2)], ids=["never", "sometimes", "always"]
)
def test_linear_speculation(exact: tuple[int, ...], accepted: int) -> None:
    mode, view = _linear(3), View((7,), remaining=10)
    assert mode.plan(view) == _draft_span((7,), (MASK, MASK))
    drafted = mode.absorb(view, Rows((10,), drafts=(A, B)))
    assert drafted == Commit((10,), proposed=(A, B))
    view = View((10,), remaining=9)
    assert mode.plan(view) == Span(PassKind.VERIFY, (10, 11, 12), exact=0)
    assert mode.absorb(view, Rows(exact, accepted)) == Commit(exact, checked=(A, B), accepted=accepted)
    assert mode.plan(view).kind is PassKind.DRAFT


def test_linear_speculation_verifies_forks() -> None:
    mode, view = _linear(5), View((7,), remaining=10)
    mode.plan(view)
    first, other, second, third = Draft(11, behind=-1), Draft(12, behind=-1), Draft(13, behind=1), Draft(14, behind=0)
    mode.absorb(view, Rows((10,), drafts=(first, other, second, third)))
    view = View((10,), remaining=9)
    span = mode.plan(view)
    assert (span.chain, span.forks) == ((10, 11, 14), (Fork(0, 12), Fork(3, 13)))
    commit = mode.absorb(view, Rows((12, 13, 50), 2))
    assert (commit.checked, commit.accepted) == ((other, second, first, third), 2)
    assert span.holds((12, 13)) == 0, "what forks hold is not where the cache wants it"


def test_linear_speculation_drafts_again_what_it_doubts() -> None:
    mode, view = _linear(4, threshold=0.4), View((7,), remaining=10)
    mode.plan(view)
    mode.absorb(view, Rows((10,), drafts=(A, B, C)))
    view = View((10,), remaining=9)
    assert mode.plan(view) == _draft_span((10,), (11, MASK, 13), may_fork=False)
    mode.absorb(view, Rows((11,), drafts=(B, C)))
    assert mode.plan(View((11,), remaining=8)).kind is PassKind.VERIFY, "two draft passes are the most allowed"


def test_linear_speculation_follows_a_repetition_without_a_draft_pass() -> None:
    mode, view = _linear(8), View((7,), remaining=10, lookup=lambda most: REPEATED)
    assert mode.plan(view) == Span(PassKind.VERIFY, (7, 21, 22), exact=0)
    assert mode.absorb(view, Rows((21, 5), 1)).checked == REPEATED.drafts


def test_linear_speculation_does_not_draft_past_the_end() -> None:
    assert _linear(8).plan(View((7,), remaining=1)) == Span(PassKind.DECODE, (7,), exact=0)
    assert _linear(8).plan(View((7,), remaining=3)).width == 3


def test_quadratic_speculation_drafts_behind_every_acceptance_point() -> None:
    plan = Plan(ModeName.QUADRATIC_SPECULATION, 3)
    mode, view = QuadraticSpeculation(plan, MASK, _chooser()), View((7,), remaining=10)
    assert mode.plan(view) == _draft_span((7,), (MASK, MASK))
    mode.absorb(view, Rows((10,), drafts=(A, B)))
    view = View((10,), remaining=9)
    span = mode.plan(view)
    assert (span.kind, span.chain, span.exact) == (PassKind.VERIFY, (10, 11, 12), 0)
    assert span.branches == tuple(Branch(row, (MASK, MASK)) for row in (0, 1, 2))
    assert span.propose == (3, 4, 5, 6, 7, 8)
    commit = mode.absorb(view, Rows((11, 50), 1, drafts=(C,)))
    assert commit == Commit((11, 50), proposed=(C,), checked=(A, B), accepted=1)
    assert mode.plan(View((50,), remaining=7)).chain == (50, 13)


def test_quadratic_speculation_drafts_behind_forks() -> None:
    plan = Plan(ModeName.QUADRATIC_SPECULATION, 4)
    mode = QuadraticSpeculation(plan, MASK, _chooser())
    mode.plan(View((7,), remaining=10))
    drafts = (Draft(11, behind=-1), Draft(12, behind=-1), Draft(13, behind=1))
    mode.absorb(View((7,), remaining=10), Rows((10,), drafts=drafts))
    span = mode.plan(View((8, 10), remaining=5))
    assert (span.chain, span.forks, span.exact) == ((8, 10, 11), (Fork(1, 12), Fork(3, 13)), 1)
    lengths = {branch.behind: len(branch.tokens) for branch in span.branches}
    assert lengths == {1: 3, 2: 3, 3: 3, 4: 2}, "no masks past the last token"
    assert span.asked == tuple(range(1, 16))


def test_quadratic_speculation_drafts_no_more_than_fits() -> None:
    plan = Plan(ModeName.QUADRATIC_SPECULATION, 4)
    mode = QuadraticSpeculation(plan, MASK, _chooser())
    mode.plan(View((7,), remaining=9))
    mode.absorb(View((7,), remaining=9), Rows((10,), drafts=(A, B, C)))
    assert [len(branch.tokens) for branch in mode.plan(View((10,), remaining=3)).branches] == [2, 1]


def _diffusion(block_length: int, threshold: float, max_steps: int, fixed_steps: int = 0) -> Diffusion:
    plan = Plan(ModeName.DIFFUSION, block_length, threshold, max_steps, fixed_steps=fixed_steps)
    return Diffusion(plan, MASK, {END})


def _denoise(tokens: tuple[int, ...], propose: tuple[int, ...]) -> Span:
    branches = (Branch(-1, tokens),)
    return Span(PassKind.DENOISE, (), branches=branches, propose=propose, fixed=(None,) * len(propose))


def test_diffusion_fixes_the_confident_and_always_one() -> None:
    mode, view = _diffusion(3, 0.9, 5), View((7,), remaining=10)
    assert mode.plan(view) == _denoise((7, MASK, MASK), (0, 1, 2))
    first = mode.absorb(view, Rows(drafts=(Draft(11, 0.1), Draft(12, 0.95), Draft(13, 0.92))))
    assert (first.tokens, first.fixed_slots) == ((), (1, 2))
    assert mode.plan(view) == _denoise((7, MASK, 12), (0,))
    assert mode.absorb(view, Rows(drafts=(Draft(14, 0.01),))).fixed_slots == (0,)
    assert mode.plan(view) == Span(PassKind.REFRESH, (7, 14, 12, 13), exact=3, decided=(14, 12, 13))
    assert mode.absorb(view, Rows((15,))) == Commit((14, 12, 13, 15))


def test_diffusion_stops_refining_at_max_steps() -> None:
    mode, view = _diffusion(4, 0.9, 1), View((7,), remaining=10)
    mode.plan(view)
    drafts = tuple(Draft(token, 0.1) for token in (1, 3, 4, 5))
    assert mode.absorb(view, Rows(drafts=drafts)).fixed_slots == (0, 1, 2, 3)
    assert mode.plan(view).kind is PassKind.REFRESH


def test_diffusion_with_fixed_steps_fixes_an_equal_share_in_each() -> None:
    mode, view, shares = _diffusion(5, 0.9, 9, fixed_steps=3), View((7,), remaining=10), []
    while mode.plan(view).kind is PassKind.DENOISE:
        drafts = tuple(Draft(11 + row, 0.1 * row) for row in range(len(mode.plan(view).propose)))
        shares.append(len(mode.absorb(view, Rows(drafts=drafts)).fixed_slots))
    assert shares == [2, 2, 1]


def test_diffusion_drops_what_follows_the_end() -> None:
    mode, view = _diffusion(4, 0.9, 9), View((7,), remaining=10)
    mode.plan(view)
    drafts = (Draft(11, 0.95), Draft(END, 0.95), Draft(12, 0.1), Draft(13, 0.1))
    mode.absorb(view, Rows(drafts=drafts))
    assert mode.plan(view) == Span(PassKind.REFRESH, (7, 11, END), exact=2, decided=(11, END))


def test_diffusion_under_a_grammar_fixes_the_leftmost_and_redraws_what_no_longer_fits() -> None:
    mode, view = _diffusion(3, 0.9, 9), View((7,), remaining=10, constrained=True)
    mode.plan(view)
    first = mode.absorb(view, Rows(drafts=(Draft(11, 0.1), Draft(12, 0.95), Draft(13, 0.2))))
    assert first.fixed_slots == (0, 1)
    assert mode.plan(view).fixed == (11, 12, None)
    second = mode.absorb(view, Rows(drafts=(Draft(11), Draft(14, 0.3), Draft(15, 0.4))))
    assert second.fixed_slots == (1, 2), "the leftmost open slot, and the surest"
    assert mode.plan(view).decided == (11, 14, 15)
