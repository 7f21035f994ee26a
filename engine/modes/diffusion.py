"""Block diffusion: a block of masks, refined over steps.

A denoise pass is `[seed, slot, slot, ...]`, every row seeing the whole block; the row before a slot proposes its token.
Each step fixes the proposals at or over the confidence threshold, and the most confident one in any case; the last
allowed step fixes all. With fixed steps, each fixes its equal share of the slots instead. A causal refresh pass then
writes the block to the cache and draws the token after it.

Under a grammar, proposals are drawn from left to right, each from what may follow those before it, so that they could
always stand together. A slot that was fixed and can't follow any more is drawn anew; the leftmost open slot is always
fixed, so that every step adds to what holds for good.
"""

from __future__ import annotations

from collections.abc import Set

from triroute.engine.modes.base import Commit, Draft, Rows, View
from triroute.engine.span import Branch, Span
from triroute.engine.types import DraftSource, PassKind, Plan


class Diffusion:
    """A plan's block length, threshold and steps. Tokens after one of `end_ids` are dropped."""

    def __init__(self, plan: Plan, mask_id: int, end_ids: Set[int]) -> None:
        self.settings = plan
        self.mask_id = mask_id
        self.end_ids = end_ids
        self.block: list[Draft | None] = []  # None is an open slot
        self.steps = 0

    @property
    def settled(self) -> bool:
        return not self.block

    def plan(self, view: View) -> Span:
        if not self.block:
            self.block = [None] * min(self.settings.block_length, view.remaining)
        block = tuple(self.mask_id if slot is None else slot.token for slot in self.block)
        if not self._open():
            chain = (*view.pending, *block)
            return Span(PassKind.REFRESH, chain, exact=len(chain) - 1, decided=block)
        chain, seed = view.pending[:-1], view.pending[-1]
        slots = self._asked(view)
        return Span(
            PassKind.DENOISE,
            chain,
            branches=(Branch(len(chain) - 1, (seed, *block[:-1])),),
            propose=tuple(len(chain) + slot for slot in slots),
            fixed=tuple(None if self.block[slot] is None else block[slot] for slot in slots),
        )

    def absorb(self, view: View, rows: Rows) -> Commit:
        if self._open():
            return self._refined(self._asked(view), rows.drafts, view.constrained)
        block, self.block, self.steps = [slot for slot in self.block if slot is not None], [], 0
        logprobs = [slot.logprob for slot in block if slot.logprob is not None]
        return Commit(
            (*(slot.token for slot in block), *rows.exact),
            (*_forced(block), *(len(block) + index for index in rows.forced)),
            logprobs=(*logprobs, *rows.logprobs),
        )

    def _refined(self, slots: list[int], drafts: tuple[Draft, ...], constrained: bool) -> Commit:
        self.steps += 1
        proposals = zip(slots, drafts, strict=False)  # under a grammar, drafts end where the output would
        candidates = [(slot, draft) for slot, draft in proposals if not _stands(self.block[slot], draft)]
        for slot, _ in candidates:
            self.block[slot] = None
        bar = self._bar(sorted((draft.confidence for _, draft in candidates), reverse=True))
        first = candidates[0][0] if constrained else None
        fixed = [(slot, draft) for slot, draft in candidates if slot == first or draft.confidence >= bar]
        for slot, draft in fixed:
            self.block[slot] = draft
        self._drop_after_end()
        return Commit(proposed=tuple(draft for _, draft in candidates), fixed_slots=tuple(slot for slot, _ in fixed))

    def _bar(self, confidences: list[float]) -> float:
        """What a proposal must reach to be fixed in this step; `confidences` of all, the surest first."""
        steps = self.settings.fixed_steps
        if self.steps >= (steps or self.settings.max_steps):
            return 0.0
        if steps:
            return confidences[-(-len(confidences) // (steps - self.steps + 1)) - 1]
        return min(confidences[0], self.settings.confidence_threshold)

    def _asked(self, view: View) -> list[int]:
        """Slots to propose for: under a grammar all, since what is fixed must still fit."""
        return list(range(len(self.block))) if view.constrained else self._open()

    def _open(self) -> list[int]:
        return [index for index, slot in enumerate(self.block) if slot is None]

    def _drop_after_end(self) -> None:
        for index, slot in enumerate(self.block):
            if slot is None:
                return
            if slot.token in self.end_ids:
                del self.block[index + 1 :]
                return


def _stands(slot: Draft | None, draft: Draft) -> bool:
    return slot is not None and slot.token == draft.token


def _forced(block: list[Draft]) -> list[int]:
    return [index for index, slot in enumerate(block) if slot.source is DraftSource.GRAMMAR]
