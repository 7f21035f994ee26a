"""Block diffusion: a block of masks, refined over steps.

A denoise pass is `[seed, slot, slot, ...]`, every row seeing the whole block; the row before a slot proposes its token.
Each step fixes the proposals at or over the confidence threshold, and the most confident one in any case; the last
allowed step fixes all. A causal refresh pass then writes the block to the cache and draws the next seed.
"""

from __future__ import annotations

from collections.abc import Set

from triroute.engine.modes.base import Commit, Pattern, Rows, Span, View
from triroute.engine.types import PassKind


class Diffusion:
    """`block_length` slots, at most `max_steps` denoise passes a block. Tokens after one of `end_ids` are dropped."""

    def __init__(
        self, block_length: int, confidence_threshold: float, max_steps: int, mask_id: int, end_ids: Set[int]
    ) -> None:
        self.block_length = block_length
        self.confidence_threshold = confidence_threshold
        self.max_steps = max_steps
        self.mask_id = mask_id
        self.end_ids = end_ids
        self.block: list[int] = []
        self.steps = 0

    def plan(self, view: View) -> Span:
        if not self.block:
            self.block = [self.mask_id] * min(self.block_length, view.remaining)
        if self._open():
            tokens = (view.seed, *self.block[:-1])
            return Span(PassKind.DENOISE, tokens, Pattern.BLOCK, propose=tuple(self._open()))
        return Span(PassKind.REFRESH, (view.seed, *self.block), exact_row=len(self.block))

    def absorb(self, view: View, rows: Rows) -> Commit:
        if self._open():
            return self._refined(rows)
        block, self.block, self.steps = self.block, [], 0
        return Commit((*block, *rows.exact), written=1 + len(block))

    def _refined(self, rows: Rows) -> Commit:
        self.steps += 1
        slots = self._open()
        surest = max(rows.confidences)
        bar = 0.0 if self.steps >= self.max_steps else min(surest, self.confidence_threshold)
        fixed = tuple(slot for slot, sure in zip(slots, rows.confidences, strict=True) if sure >= bar)
        for slot, token in zip(slots, rows.proposed, strict=True):
            if slot in fixed:
                self.block[slot] = token
        self._drop_after_end()
        return Commit(proposed=rows.proposed, confidences=rows.confidences, fixed_slots=fixed)

    def _open(self) -> list[int]:
        return [slot for slot, token in enumerate(self.block) if token == self.mask_id]

    def _drop_after_end(self) -> None:
        for slot, token in enumerate(self.block):
            if token == self.mask_id:
                return
            if token in self.end_ids:
                del self.block[slot + 1 :]
                return
