"""What drafts are worth, by step kind, as far as recorded passes tell; a stated prior beyond that.

A draft's chance to hold, when those before it did, is looked up from the particular to the general: this step itself,
this kind of step with this variant and width, with any width, with any variant, at any depth, then any kind, and the
prior. Each level outweighs the next with its tries, so that few tries say little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.policy.traffic.tally import TRUST, Cell, Tally
from triroute.router.types import Mode, StepKind, Variant

_Pass = decoding_pb2.PassRecord
_LOOKUP = decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP
_DEEPEST = 7  # later drafts share its chance
PRIOR = {False: 0.4, True: 0.45}  # by whether prompt lookup drafted
PRIOR_FOUND = 0.0  # share of cycles in which prompt lookup finds something


@dataclass(frozen=True, slots=True)
class Chances:
    """Learned from recorded steps."""

    drafts: Tally = field(default_factory=Tally)
    found: Tally = field(default_factory=Tally)  # cycles with drafts of prompt lookup, of those that looked
    length: Tally = field(default_factory=Tally)  # such drafts, of such cycles
    _general: dict[tuple[StepKind, bool, Variant, int, int], float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, steps: Iterable[Recorded]) -> Chances:
        """From all passes of the steps."""
        chances = cls()
        for step in steps:
            if step.plan.mode is Mode.SELF_SPECULATION:
                chances._learn(step, step.plan.variant or Variant.LINEAR)
        return chances

    def holds(self, step: Recorded, variant: Variant, width: int, depth: int, *, lookup: bool) -> float:
        """Probability that a draft holds when the `depth` before it did."""
        at = min(depth, _DEEPEST)
        key = (step.step.kind, lookup, variant, width, at)
        if key not in self._general:
            self._general[key] = self.drafts.share(_cells(*key), PRIOR[lookup])
        return self.drafts.share([_own(step, lookup, width, at)], self._general[key])

    def expected(self, step: Recorded, variant: Variant, width: int, *, lookup: bool) -> float:
        """Drafts that will hold, of `width`."""
        total, reach = 0.0, 1.0
        for depth in range(width):
            reach *= self.holds(step, variant, width, depth, lookup=lookup)
            total += reach
        return total

    def evidence(self, kind: StepKind, variant: Variant, width: int) -> Evidence:
        """What the chances of the model's own drafts rest on."""
        levels = (Evidence.SAME, Evidence.WIDTHS, Evidence.VARIANTS, Evidence.VARIANTS, Evidence.KINDS, Evidence.KINDS)
        cells = _cells(kind, False, variant, width, 0)
        known = (level for level, cell in zip(levels, cells, strict=True) if self.drafts.tries(cell) >= TRUST)
        return next(known, Evidence.PRIOR)

    def lookups(self, step: Recorded, *, auto: bool) -> tuple[float, float]:
        """Share of cycles in which prompt lookup drafts, and how much."""
        cells = [(step.id,), (step.step.kind, auto), (step.step.kind,), ()]
        return self.found.share(cells, PRIOR_FOUND), self.length.share(cells, 1.0)

    def looked(self, kind: StepKind) -> Evidence:
        """What `lookups` rests on."""
        if self.found.tries((kind,)) >= TRUST:
            return Evidence.SAME
        return Evidence.KINDS if self.found.tries(()) >= TRUST else Evidence.PRIOR

    def _learn(self, step: Recorded, variant: Variant) -> None:
        kind, plan, own = step.step.kind, step.plan, Tally()
        for made in step.decoding:
            if made.kind == _Pass.KIND_DRAFT:
                continue
            checked, lookup = len(made.sources), _LOOKUP in made.sources[:1]
            if "prompt_lookup" in plan.draft_sources:
                looked: tuple[Cell, ...] = ((step.id,), (kind, not plan.block_length), (kind,), ())
                for cell in looked:
                    self.found.add(cell, lookup)
                    if lookup:
                        self.length.add(cell, checked)
            for depth in range(min(made.accepted + 1, checked)):
                own.add((lookup, checked, min(depth, _DEEPEST)), depth < made.accepted)
        for (lookup, width, at), (held, tried) in own.counts.items():
            for cell in (_own(step, lookup, width, at), *_cells(kind, lookup, variant, width, at)):
                self.drafts.add(cell, held, tried)


def _own(step: Recorded, lookup: bool, width: int, depth: int) -> Cell:
    """Of a step itself. Drafts of the model fork, so their width counts; found ones are a chain of any length."""
    return (step.id, lookup, 0 if lookup else width, depth)


def _cells(kind: StepKind, lookup: bool, variant: Variant, width: int, depth: int) -> tuple[Cell, ...]:
    """From the particular to the general."""
    return (
        (kind, lookup, variant, width, depth),
        (kind, lookup, variant, depth),
        (kind, lookup, depth),
        (kind, lookup),
        (lookup, depth),
        (lookup,),
    )
