"""How often passes refine: steps of diffusion's blocks, and draft passes of speculation under a draft threshold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.policy.traffic.tally import TRUST, Cell, Tally
from triroute.router.types import DecodePlan, Mode, StepKind, Variant

_Pass = decoding_pb2.PassRecord
_FLOAT = 1e-6  # how exactly records hold a probability
AUTO_BLOCK = 8  # what diffusion takes for `auto`
PRIOR_KEPT = 0.25  # share of proposals that a refinement step is sure of


@dataclass(frozen=True, slots=True)
class Refinement:
    """Learned from recorded steps."""

    sure: dict[Cell, list[float]] = field(default_factory=lambda: defaultdict(list))  # confidences of proposals
    again: Tally = field(default_factory=Tally)  # draft passes more than one, of cycles with any
    blocks: Tally = field(default_factory=Tally)  # refinement steps, of diffusion's blocks

    @classmethod
    def of(cls, steps: Iterable[Recorded]) -> Refinement:
        """From all passes of the steps."""
        found = cls()
        for step in steps:
            found._learn(step)
        return found

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
            if len(seen) >= TRUST:
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
        if plan.variant is Variant.LINEAR:
            self._learn_drafts(step)

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

    def _learn_drafts(self, step: Recorded) -> None:
        """Cycles of linear self-speculation in which the model drafts."""
        bar, drafts = round(step.plan.draft_threshold, 2), 0
        cells: tuple[Cell, ...] = ((step.step.kind, bar), (bar,))
        for made in step.decoding:
            if made.kind == _Pass.KIND_DRAFT:
                drafts += 1
                continue
            for cell in cells if drafts else ():
                self.again.add(cell, drafts - 1)
            drafts = 0
