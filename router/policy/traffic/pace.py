"""How fast a step would decode under a plan: the engine's cycles, with expected tokens and measured costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from triroute.proto import decoding_pb2
from triroute.router.policy.plan import effective
from triroute.router.policy.traffic.chances import Chances
from triroute.router.policy.traffic.costs import Costs, Kind
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.policy.traffic.refinement import AUTO_BLOCK, Refinement
from triroute.router.types import DecodePlan, DraftSource, Mode, Variant

_Pass = decoding_pb2.PassRecord
_WIDTHS = (1, 2, 3, 4, 5, 6, 7, 9, 11, 15)  # that `auto` considers
MOST_QUADRATIC = 16


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass with so many `own` rows, and `drafts` to draw after it; so many `times` a cycle, on average."""

    kind: Kind
    own: float
    drafts: float = 0.0
    times: float = 1.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """Passes, and the tokens that they commit together, on average."""

    passes: tuple[Pass, ...]
    tokens: float
    evidence: Evidence = Evidence.SAME

    @property
    def count(self) -> float:
        return sum(made.times for made in self.passes)

    @property
    def rows(self) -> float:
        return sum(made.times * made.own for made in self.passes)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds a token, own rows of a pass, and the weakest of what that rests on."""

    seconds: float
    rows: float
    evidence: Evidence


OFF = Cycle((Pass(_Pass.KIND_DECODE, 1),), 1)


@dataclass(frozen=True, slots=True)
class Engine:
    """What is known of the engine. `pace` is pure."""

    costs: Costs
    chances: Chances
    refinement: Refinement
    _known: dict[tuple[str, DecodePlan, float], Pace] = field(default_factory=dict, repr=False)

    def pace(self, step: Recorded, plan: DecodePlan, width: float) -> Pace:
        """Of a step whose company stays what it was; each of the others brings `width` rows to a pass."""
        key = (step.id, effective(plan), round(width, 1) if step.others else 0.0)
        if key not in self._known:
            self._known[key] = self._pace(step, *key[1:])
        return self._known[key]

    def _pace(self, step: Recorded, plan: DecodePlan, width: float) -> Pace:
        parts = self._parts(step, plan, width)
        seconds = sum(share * self._seconds(cycle, step, width) for share, cycle in parts)
        tokens = sum(share * cycle.tokens for share, cycle in parts)
        passes = sum(share * cycle.count for share, cycle in parts)
        rows = sum(share * cycle.rows for share, cycle in parts)
        evidence = [cycle.evidence for share, cycle in parts if share]
        if plan.mode is Mode.SELF_SPECULATION and DraftSource.PROMPT_LOOKUP in plan.draft_sources:
            evidence.append(self.chances.looked(step.step.kind))
        return Pace(seconds / tokens, rows / passes, Evidence.weakest(evidence))

    def _parts(self, step: Recorded, plan: DecodePlan, width: float) -> list[tuple[float, Cycle]]:
        """The kinds of cycles that a run is made of, and the share of each."""
        if plan.mode is Mode.AUTOREGRESSIVE:
            return [(1.0, OFF)]
        if plan.mode is Mode.DIFFUSION:
            return [(1.0, self._block(step, plan))]
        variant, fixed = plan.variant or Variant.LINEAR, plan.block_length
        most = fixed - 1 if fixed else _WIDTHS[-1]
        if variant is Variant.QUADRATIC:
            most = min(most, MOST_QUADRATIC - 1)
        found, length = 0.0, 0.0
        if DraftSource.PROMPT_LOOKUP in plan.draft_sources and most > 0:
            found, length = self.chances.lookups(step, auto=not fixed)
        looked = max(round(min(length, most)), 1)
        widths = [most] if fixed else list(_WIDTHS)
        drafted = list(self._drafted(step, plan, variant, [n for n in widths if 0 < n <= most]))
        rows = most if fixed and variant is Variant.QUADRATIC else 0
        lookup = self._looked(step, variant, looked, rows)
        if fixed:
            return [(found, lookup), (1 - found, drafted[0] if drafted else OFF)]
        best = max([OFF, *drafted], key=lambda cycle: self._worth(cycle, step, width))
        return [(found, lookup), (1 - found, best)]

    def _looked(self, step: Recorded, variant: Variant, drafts: int, masks: int) -> Cycle:
        held = self.chances.expected(step, variant, drafts, lookup=True)
        return Cycle((Pass(_Pass.KIND_VERIFY, 1 + drafts + (drafts + 1) * masks, masks),), 1 + held)

    def _drafted(self, step: Recorded, plan: DecodePlan, variant: Variant, widths: list[int]) -> Iterator[Cycle]:
        """A cycle for each width in which the model itself drafts."""
        if DraftSource.DIFFUSION not in plan.draft_sources:
            return
        for n in widths:
            held = self.chances.expected(step, variant, n, lookup=False)
            evidence = self.chances.evidence(step.step.kind, variant, n)
            if variant is Variant.QUADRATIC:
                yield Cycle((Pass(_Pass.KIND_VERIFY, 1 + n + (n + 1) * n, n),), 1 + held, evidence)
                continue
            draft, verify = Pass(_Pass.KIND_DRAFT, 1 + n, n), Pass(_Pass.KIND_VERIFY, 1 + n)
            yield self._again(step, plan, Cycle((draft, verify), 2 + held, evidence))

    def _again(self, step: Recorded, plan: DecodePlan, cycle: Cycle) -> Cycle:
        """With the further draft passes that a draft threshold asks for; each commits a token too."""
        draft, verify = cycle.passes
        more, evidence = self.refinement.redrafted(step.step.kind, plan, int(draft.drafts))
        if not more:
            return cycle
        passes = (replace(draft, times=1 + more), verify)
        return Cycle(passes, cycle.tokens + more, Evidence.weakest((evidence, cycle.evidence)))

    def _block(self, step: Recorded, plan: DecodePlan) -> Cycle:
        """Refinement steps until no slot is open, then the pass that writes the block."""
        length = plan.block_length or AUTO_BLOCK
        steps, evidence = self.refinement.steps(step.step.kind, plan, length)
        refine = Pass(_Pass.KIND_DENOISE, length, length / 2, steps)
        return Cycle((refine, Pass(_Pass.KIND_REFRESH, length + 1)), length + 1, evidence)

    def _worth(self, cycle: Cycle, step: Recorded, width: float) -> float:
        """Tokens a second of all that share the passes; the engine chooses by the same figure."""
        return (cycle.count * step.others + cycle.tokens) / self._seconds(cycle, step, width)

    def _seconds(self, cycle: Cycle, step: Recorded, width: float) -> float:
        return sum(
            made.times * self.costs.seconds(made.kind, made.own, made.drafts, step.keys, step.others, width)
            for made in cycle.passes
        )
