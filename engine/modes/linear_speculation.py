"""Linear self-speculation: one pass drafts a block by diffusion, the next verifies it autoregressively.

The draft pass is `[seed, mask, mask, ...]`. Its seed row sees only what autoregression would see, so it yields the
exact next token and its key and value are cached; the mask rows see the whole block and propose what follows.
The verify pass is `[next, draft, ...]`, causal: the longest prefix of drafts that autoregression would have drawn is
accepted, and the token after it comes for free. Two passes commit at least two tokens.
"""

from __future__ import annotations

from triroute.engine.modes.base import Commit, Pattern, Rows, Span, View
from triroute.engine.types import PassKind


class LinearSpeculation:
    """`block_length` counts the rows of a draft pass: the seed and block_length - 1 masks."""

    def __init__(self, block_length: int, mask_id: int) -> None:
        self.block_length = block_length
        self.mask_id = mask_id
        self.draft: tuple[int, ...] = ()

    def plan(self, view: View) -> Span:
        if self.draft:
            return Span(PassKind.VERIFY, (view.seed, *self.draft), exact_row=0, expected=self.draft)
        masks = min(self.block_length, view.remaining) - 1
        if masks == 0:
            return Span(PassKind.DECODE, (view.seed,), exact_row=0)
        tokens = (view.seed, *[self.mask_id] * masks)
        return Span(PassKind.DRAFT, tokens, Pattern.SEED_CAUSAL, exact_row=0, propose=tuple(range(1, masks + 1)))

    def absorb(self, view: View, rows: Rows) -> Commit:
        if self.draft:
            return self._verified(rows)
        self.draft = rows.proposed
        return Commit(rows.exact, written=1, proposed=rows.proposed, confidences=rows.confidences)

    def _verified(self, rows: Rows) -> Commit:
        accepted = len(rows.exact) - 1
        rejected, self.draft = self.draft[accepted:], ()
        return Commit(rows.exact, written=1 + accepted, accepted=accepted, rejected=rejected)
