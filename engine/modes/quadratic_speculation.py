"""Quadratic self-speculation: each pass verifies a draft and drafts again, after every point where it may be accepted.

The pass is `[pending, draft, ...]`, causal, with a branch of masks behind the last pending row and behind each draft.
Once it is known how many drafts hold, the branch that follows them has the next drafts: one pass a cycle, at the price
of `block_length` squared rows.
"""

from __future__ import annotations

from dataclasses import replace

from triroute.engine.modes.auto import Candidate, Chooser
from triroute.engine.modes.base import Commit, Draft, Rows, View, decode_span
from triroute.engine.modes.drafting import DIFFUSION, lookups, preferred, widths
from triroute.engine.modes.tree import accepted_first, lay_out
from triroute.engine.span import Branch, Span
from triroute.engine.types import DraftSource, PassKind, Plan

MOST_BLOCK_LENGTH = 16


class QuadraticSpeculation:
    """A draft of up to `block_length` - 1 tokens, and as many masks behind each."""

    def __init__(self, plan: Plan, mask_id: int, chooser: Chooser) -> None:
        self.settings = plan
        self.mask_id = mask_id
        self.chooser = chooser
        self.candidate = Candidate((1,))
        self.draft: tuple[Draft, ...] = ()  # what the last pass drafted
        self.checked: tuple[Draft, ...] = ()  # what this pass verifies

    settled = True  # what it drafted came with tokens, in the same pass

    def plan(self, view: View) -> Span:
        most = min(view.remaining - 1, MOST_BLOCK_LENGTH - 1)
        found, candidates = lookups(self.settings, view, most)
        if DraftSource.DIFFUSION in self.settings.draft_sources:
            candidates = self._with_masks(candidates) + self._diffusions(view, most)
        self.candidate = self.chooser.pick(preferred(self.settings, view, candidates), view)
        match self.candidate.key:
            case None:
                self.checked = ()
            case (DraftSource.PROMPT_LOOKUP, _):
                self.checked = found.drafts[: self.candidate.drafts]
            case _:
                self.checked = self.draft[: min(self.candidate.drafts, most)]
        return self._span(view, self.candidate.masks) if self.candidate.key else decode_span(view)

    def absorb(self, view: View, rows: Rows) -> Commit:
        checked, self.checked = accepted_first(self.checked, rows.exact[: rows.accepted]), ()
        self.draft = rows.drafts
        self.chooser.learn(self.candidate, len(checked), rows.accepted)
        return Commit(
            rows.exact,
            rows.forced,
            proposed=rows.drafts,
            checked=checked,
            accepted=rows.accepted,
            logprobs=rows.logprobs,
            lossy=rows.lossy,
        )

    def _with_masks(self, candidates: list[Candidate]) -> list[Candidate]:
        """A fixed width drafts behind what prompt lookup found, too."""
        return [replace(candidate, masks=max(self.settings.block_length - 1, 0)) for candidate in candidates]

    def _diffusions(self, view: View, most: int) -> list[Candidate]:
        """In one pass a cycle, and where the width is free also in two: verify what there is, then draft again."""
        pending, candidates = len(view.pending), []
        for n in widths(self.settings, most):
            candidates.append(Candidate((pending + n + (n + 1) * n,), DIFFUSION, n, n))
        if not self.settings.block_length:
            for n in widths(self.settings, len(self.draft) or most):
                candidates.append(Candidate((pending + n, 1 + n), DIFFUSION, n, 0 if self.draft else n))
        return candidates

    def _span(self, view: View, masks: int) -> Span:
        """Verify `checked`, with so many masks behind each acceptance point, as far as tokens may be committed."""
        exact = len(view.pending) - 1
        chain, forks = lay_out(view.pending, self.checked)
        depths = list(range(len(chain) - exact))
        for fork in forks:
            depths.append(depths[fork.behind - exact] + 1)
        branches = []
        for row, depth in enumerate(depths, exact) if masks else ():
            left = min(masks, view.remaining - 1 - depth)
            if left > 0:
                branches.append(Branch(row, (self.mask_id,) * left))
        rows = sum(len(branch.tokens) for branch in branches)
        first = len(chain) + len(forks)
        return Span(
            PassKind.VERIFY if self.checked else PassKind.DRAFT,
            chain,
            exact=exact,
            forks=forks,
            branches=tuple(branches),
            propose=tuple(range(first, first + rows)),
            fixed=(None,) * rows,
            may_fork=not view.constrained,
            relaxed=self.settings.relaxed,
        )
