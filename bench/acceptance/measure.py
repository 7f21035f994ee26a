"""Decode prompts with diffusion drafts, and count what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from triroute.engine.engine import Engine
from triroute.engine.testing import Answer, run_all
from triroute.engine.training.prompts import Prompt
from triroute.engine.types import DraftSource, ModeName, PassKind, PassRecord, Plan, Request, Sampling

_TOGETHER = 8
_ALONE = frozenset({DraftSource.DIFFUSION})


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to decode. `block_length` counts the exact token and the masks.

    `lookup` lets drafts come from prompt lookup, too, as they do where a policy says nothing else.
    """

    workload: str
    mode: ModeName = ModeName.LINEAR_SPECULATION
    block_length: int = 8
    temperature: float = 0.0
    lookup: bool = False


@dataclass(slots=True)
class Tally:
    """Counts over many outputs. `reached[i]` cycles checked a draft in slot i, `held[i]` of them found it right."""

    tokens: int = 0
    passes: int = 0
    cycles: int = 0
    accepted: int = 0
    held: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

    def add(self, records: Iterable[PassRecord]) -> None:
        """Count an output's passes."""
        for record in records:
            self.tokens += len(record.committed)
            self.passes += record.kind not in (PassKind.PREFILL, PassKind.FORCED)
            if record.sources:
                self._check(record)

    def _check(self, record: PassRecord) -> None:
        self.cycles += 1
        self.accepted += record.accepted
        width = len(record.sources)
        self.held += [0] * (width - len(self.held))
        self.reached += [0] * (width - len(self.reached))
        for slot in range(width):
            self.reached[slot] += 1
            self.held[slot] += slot < record.accepted

    def join(self, other: Tally) -> None:
        """Add another's counts."""
        self.tokens, self.passes = self.tokens + other.tokens, self.passes + other.passes
        self.cycles, self.accepted = self.cycles + other.cycles, self.accepted + other.accepted
        width = max(len(self.held), len(other.held))
        self.held = [a + b for a, b in zip(_wide(self.held, width), _wide(other.held, width), strict=True)]
        self.reached = [a + b for a, b in zip(_wide(self.reached, width), _wide(other.reached, width), strict=True)]

    @property
    def tokens_per_pass(self) -> float:
        return self.tokens / max(self.passes, 1)

    @property
    def accepted_per_cycle(self) -> float:
        return self.accepted / max(self.cycles, 1)

    @property
    def by_slot(self) -> list[float]:
        """Share of cycles whose drafts held up to and including each slot."""
        return [held / max(reached, 1) for held, reached in zip(self.held, self.reached, strict=True)]

    @property
    def speed_of_light(self) -> float:
        """Tokens a pass of an ideal sampler, over these of ours.

        It takes the same drafts and always stops at the last right token by itself: a cycle is its draft pass, and has
        no other to verify. Ours needs both, and gets the token after the drafts from the second.
        """
        ideal = 1 + self.accepted_per_cycle
        return ideal / ((2 + self.accepted_per_cycle) / 2)


def measure(engine: Engine, prompts: Sequence[Prompt], setup: Setup, tokens: int) -> Tally:
    """Decode every prompt of a workload in one way."""
    tally = Tally()
    plan = Plan(setup.mode, setup.block_length)
    if not setup.lookup:
        plan = replace(plan, draft_sources=_ALONE)
    chosen = [prompt for prompt in prompts if prompt.workload == setup.workload]
    for start in range(0, len(chosen), _TOGETHER):
        requests = [
            Request(
                f"eval-{start + number}",
                prompt.encode(engine.chat_template, engine.tokenizer),
                plan,
                Sampling(tokens, setup.temperature, seed=start + number),
            )
            for number, prompt in enumerate(chosen[start : start + _TOGETHER])
        ]
        for answer in run_all(engine, requests).values():
            tally.add(_finished(answer).records)
    return tally


def _finished(answer: Answer) -> Answer:
    """Raises RuntimeError where the engine failed."""
    if answer.failed is not None:
        raise RuntimeError(answer.failed.message)
    return answer


def _wide(numbers: list[int], width: int) -> list[int]:
    return numbers + [0] * (width - len(numbers))
