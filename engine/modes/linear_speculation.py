"""Linear self-speculation: one pass drafts a block by diffusion, the next verifies it autoregressively.

The draft pass is `[pending, mask, mask, ...]`. Its pending rows see only what autoregression would see, so they yield
the exact next token and become cache; the mask rows see the whole block and propose what follows. The verify pass is
`[next, draft, ...]`, causal: the longest path of drafts that autoregression would have drawn is accepted, and the
token after it comes for free. Two passes commit at least two tokens. Where the sequence repeats itself, prompt lookup
drafts without a pass of its own. Drafts under the draft threshold are drafted again, beside those that stand.
"""

from __future__ import annotations

from triroute.engine.modes.auto import Candidate, Chooser
from triroute.engine.modes.base import Commit, Draft, Rows, View, decode_span
from triroute.engine.modes.drafting import DIFFUSION, lookups, preferred, widths
from triroute.engine.modes.tree import accepted_first, lay_out
from triroute.engine.span import Branch, Span
from triroute.engine.types import DraftSource, PassKind, Plan


class LinearSpeculation:
    """`block_length` counts the rows of a draft pass: one exact, and block_length - 1 masks."""

    def __init__(self, plan: Plan, mask_id: int, chooser: Chooser) -> None:
        self.settings = plan
        self.mask_id = mask_id
        self.chooser = chooser
        self.candidate = Candidate((1,))
        self.draft: tuple[Draft, ...] = ()
        self.kind = PassKind.DECODE
        self.draft_passes = 0

    @property
    def settled(self) -> bool:
        return not self.draft

    def plan(self, view: View) -> Span:
        self.draft = self.draft[: view.remaining - 1]
        span = self._continued(view) if self.draft else self._begun(view)
        self.kind = span.kind
        return span

    def absorb(self, view: View, rows: Rows) -> Commit:
        if self.kind is PassKind.DRAFT:
            self.draft_passes += 1
            self.draft = rows.drafts
            return Commit(rows.exact, rows.forced, proposed=rows.drafts, logprobs=rows.logprobs)
        checked, self.draft = accepted_first(self.draft, rows.exact[: rows.accepted]), ()
        self.chooser.learn(self.candidate, len(checked), rows.accepted)
        return Commit(
            rows.exact, rows.forced, checked=checked, accepted=rows.accepted, logprobs=rows.logprobs, lossy=rows.lossy
        )

    def _begun(self, view: View) -> Span:
        """The first span of a cycle."""
        self.draft_passes = 0
        most, pending = view.remaining - 1, len(view.pending)
        found, candidates = lookups(self.settings, view, most)
        if DraftSource.DIFFUSION in self.settings.draft_sources:
            candidates += [Candidate((pending + n, 1 + n), DIFFUSION, n, n) for n in widths(self.settings, most)]
        self.candidate = self.chooser.pick(preferred(self.settings, view, candidates), view)
        if self.candidate.masks:
            return self._draft(view, (self.mask_id,) * self.candidate.masks)
        self.draft = found.drafts[: self.candidate.drafts]
        return self._verify(view) if self.draft else decode_span(view)

    def _continued(self, view: View) -> Span:
        """Draft again what is not sure yet, or verify."""
        bar = self.settings.draft_threshold
        unsure = any(draft.confidence < bar for draft in self.draft)
        if unsure and 0 < self.draft_passes < self.settings.max_steps:
            return self._draft(view, tuple(self.mask_id if d.confidence < bar else d.token for d in self.draft))
        return self._verify(view)

    def _draft(self, view: View, slots: tuple[int, ...]) -> Span:
        seen = len(view.pending)
        propose = tuple(range(seen, seen + len(slots)))
        branch = Branch(seen - 1, slots)
        return Span(
            PassKind.DRAFT,
            view.pending,
            exact=seen - 1,
            branches=(branch,),
            propose=propose,
            fixed=(None,) * len(slots),
            may_fork=not (view.constrained or self.settings.draft_threshold),
        )

    def _verify(self, view: View) -> Span:
        chain, forks = lay_out(view.pending, self.draft)
        return Span(PassKind.VERIFY, chain, exact=len(view.pending) - 1, forks=forks, relaxed=self.settings.relaxed)
