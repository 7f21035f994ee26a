"""What drafts and refinement steps are worth, by step kind, as far as recorded passes tell; a stated prior beyond that.

A draft's chance to hold, when those before it did, is looked up from the particular to the general: this step itself,
this kind of step with this variant and width, with any width, with any variant, at any depth, then any kind, and the
prior. Each level outweighs the next with its tries, so that few tries say little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from triroute.proto import decoding_pb2
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.types import DecodePlan, Mode, StepKind, Variant

_Pass = decoding_pb2.PassRecord
_LOOKUP = decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP
_DEEPEST = 7  # later drafts share its chance
_TRUST = 8.0  # tries that outweigh the next level
_FLOAT = 1e-6  # how exactly records hold a probability
AUTO_BLOCK = 8  # what diffusion takes for `auto`
PRIOR = {False: 0.4, True: 0.45}  # by whether prompt lookup drafted
PRIOR_FOUND = 0.0  # share of cycles in which prompt lookup finds something
PRIOR_KEPT = 0.25  # share of proposals that a refinement step is sure of

Cell: TypeAlias = tuple[Any, ...]


class Evidence(StrEnum):
    """What an estimate rests on, the best first."""

    SAME = "the same setting"
    WIDTHS = "other block lengths or thresholds"
    VARIANTS = "the other variant"
    KINDS = "other kinds of steps"
    PRIOR = "the prior"


@dataclass(slots=True)
class Tally:
    """Successes and tries, by cell."""

    counts: dict[Cell, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(self, cell: Cell, held: float, tried: float = 1.0) -> None:
        count = self.counts[cell]
        count[0] += held
        count[1] += tried

    def tries(self, cell: Cell) -> float:
        return self.counts[cell][1] if cell in self.counts else 0.0

    def known(self, cell: Cell) -> float | None:
        """The mean of a cell with enough tries."""
        return self.counts[cell][0] / self.counts[cell][1] if self.tries(cell) >= _TRUST else None

    def share(self, cells: Sequence[Cell], prior: float) -> float:
        """The share of the first cell, whose tries outweigh that of the next, and so on to the prior."""
        for cell in reversed(cells):
            if cell in self.counts:
                held, tried = self.counts[cell]
                prior = (held + _TRUST * prior) / (tried + _TRUST)
        return prior


@dataclass(frozen=True, slots=True)
class Chances:
    """Learned from recorded steps."""

    drafts: Tally = field(default_factory=Tally)
    found: Tally = field(default_factory=Tally)  # cycles with drafts of prompt lookup, of those that looked
    length: Tally = field(default_factory=Tally)  # such drafts, of such cycles
    sure: dict[Cell, list[float]] = field(default_factory=lambda: defaultdict(list))  # confidences of proposals
    again: Tally = field(default_factory=Tally)  # draft passes more than one, of cycles with any
    blocks: Tally = field(default_factory=Tally)  # refinement steps, of diffusion's blocks
    _general: dict[tuple[StepKind, bool, Variant, int, int], float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, steps: Iterable[Recorded]) -> Chances:
        """From all passes of the steps."""
        chances = cls()
        for step in steps:
            chances._learn(step)
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
        known = (level for level, cell in zip(levels, cells, strict=True) if self.drafts.tries(cell) >= _TRUST)
        return next(known, Evidence.PRIOR)

    def lookups(self, step: Recorded, *, auto: bool) -> tuple[float, float]:
        """Share of cycles in which prompt lookup drafts, and how much."""
        cells = [(step.id,), (step.step.kind, auto), (step.step.kind,), ()]
        return self.found.share(cells, PRIOR_FOUND), self.length.share(cells, 1.0)

    def looked(self, kind: StepKind) -> Evidence:
        """What `lookups` rests on."""
        if self.found.tries((kind,)) >= _TRUST:
            return Evidence.SAME
        return Evidence.KINDS if self.found.tries(()) >= _TRUST else Evidence.PRIOR

    def steps(self, kind: StepKind, plan: DecodePlan, length: int) -> tuple[float, Evidence]:
        """Refinement steps of a diffusion block: as recorded, or as many as proposals of such confidence need."""
        if plan.fixed_steps:
            return min(plan.fixed_steps, length), Evidence.SAME
        cells: tuple[Cell, ...] = (("block", kind), ("block",))
        for level, cell in zip((Evidence.SAME, Evidence.KINDS), cells, strict=True):
            steps = self.blocks.known((*cell, length, round(plan.confidence_threshold, 3), plan.max_steps))
            if steps is not None:
                return steps, level
        needed, level = self._needed(kind, plan.confidence_threshold, plan.max_steps, length)
        return needed * self._correction(kind), level

    def _needed(self, kind: StepKind, threshold: float, most: int, length: int) -> tuple[float, Evidence]:
        """Steps in which proposals, of such confidence as was recorded, fill a block."""
        share, level = self._kept(kind, threshold)
        left, count = float(length), 0
        while left > 0 and count < most:
            left -= max(1.0, left * share)
            count += 1
        return count, level

    def _correction(self, kind: StepKind) -> float:
        """Recorded steps over needed ones, for the blocks that this kind of step ran."""
        blocks = [(cell, count) for cell, count in self.blocks.counts.items() if cell[:2] == ("block", kind)]
        real = sum(steps for _, (steps, _) in blocks)
        said = sum(
            count * self._needed(kind, threshold, most, length)[0]
            for (_, _, length, threshold, most), (_, count) in blocks
        )
        return real / said if said else 1.0

    def redrafted(self, kind: StepKind, plan: DecodePlan, width: int) -> tuple[float, Evidence]:
        """Draft passes more than one, a cycle, when drafts under the threshold are drafted again."""
        if not plan.draft_threshold or plan.max_steps == 1:
            return 0.0, Evidence.SAME
        bar = round(plan.draft_threshold, 2)
        cells: tuple[tuple[Evidence, Cell], ...] = ((Evidence.SAME, (kind, bar)), (Evidence.KINDS, (bar,)))
        for level, cell in cells:
            more = self.again.known(cell)
            if more is not None:
                return min(more, plan.max_steps - 1), level
        seen = self.sure.get(("draft", kind)) or self.sure.get(("draft",)) or [0.0]
        sure = (sum(one >= plan.draft_threshold - _FLOAT for one in seen) / len(seen)) ** width
        return min((1 - sure) / max(sure, 1e-9), plan.max_steps - 1), Evidence.PRIOR

    def _kept(self, kind: StepKind, threshold: float) -> tuple[float, Evidence]:
        """Share of open slots that a refinement step is sure of."""
        levels = (
            (Evidence.WIDTHS, ("denoise", kind)),
            (Evidence.VARIANTS, ("draft", kind)),
            (Evidence.KINDS, ("denoise",)),
            (Evidence.KINDS, ("draft",)),
        )
        for level, cell in levels:
            seen = self.sure.get(cell, [])
            if len(seen) >= _TRUST:
                return sum(one >= threshold - _FLOAT for one in seen) / len(seen), level
        return PRIOR_KEPT, Evidence.PRIOR

    def _learn(self, step: Recorded) -> None:
        kind, plan = step.step.kind, step.plan
        for made in step.decoding:
            name = {_Pass.KIND_DENOISE: "denoise", _Pass.KIND_DRAFT: "draft"}.get(made.kind)
            for cell in ((name, kind), (name,)) if name else ():
                self.sure[cell].extend(made.confidences)
        if plan.mode is Mode.DIFFUSION:
            self._learn_blocks(step)
        if plan.mode is Mode.SELF_SPECULATION:
            self._learn_cycles(step, plan.variant or Variant.LINEAR)

    def _learn_blocks(self, step: Recorded) -> None:
        """Whole blocks; the first is not one, since the prompt's last pass is its first step."""
        plan, steps, whole = step.plan, 0, False
        setting = (plan.block_length or AUTO_BLOCK, round(plan.confidence_threshold, 3), plan.max_steps)
        cells: tuple[Cell, ...] = (("block", step.step.kind, *setting), ("block", *setting))
        for made in step.decoding:
            if made.kind == _Pass.KIND_DENOISE:
                steps += 1
            elif made.kind == _Pass.KIND_REFRESH:
                for cell in cells if whole and not plan.fixed_steps else ():
                    self.blocks.add(cell, steps)
                steps, whole = 0, True

    def _learn_cycles(self, step: Recorded, variant: Variant) -> None:
        kind, plan, draft_passes, own = step.step.kind, step.plan, 0, Tally()
        for made in step.decoding:
            if made.kind == _Pass.KIND_DRAFT:
                draft_passes += 1
                continue
            checked, lookup = len(made.sources), _LOOKUP in made.sources[:1]
            if "prompt_lookup" in plan.draft_sources:
                looked: tuple[Cell, ...] = ((step.id,), (kind, not plan.block_length), (kind,), ())
                for cell in looked:
                    self.found.add(cell, lookup)
                    if lookup:
                        self.length.add(cell, checked)
            if draft_passes and variant is Variant.LINEAR:
                bar = round(plan.draft_threshold, 2)
                bars: tuple[Cell, ...] = ((kind, bar), (bar,))
                for cell in bars:
                    self.again.add(cell, draft_passes - 1)
            draft_passes = 0
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
