"""Run a case, and hold every request of it against its solitary autoregressive run."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from triroute.bench.soak.cases import Case, Member
from triroute.engine.config import EngineConfig
from triroute.engine.core import Core
from triroute.engine.costs import Costs
from triroute.engine.errors import EngineError
from triroute.engine.grammar import compile_format
from triroute.engine.model import Model
from triroute.engine.testing import Answer
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import FinishReason, ModeName, PassKind, Plan, Request

_MOST_PASSES = 20_000
_FLAT = Costs([1.0] * 65)


class Broken(AssertionError):
    """A promise did not hold."""


class Checker:
    """Runs cases on one model."""

    def __init__(self, tokenizer: Tokenizer, model: Model) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self.tally: Counter[str] = Counter()
        self.kinds: set[PassKind] = set()

    @property
    def vocab(self) -> int:
        """Token ids that a prompt may hold."""
        return self._tokenizer.vocab_size

    def check(self, case: Case) -> None:
        """Raise Broken where a text differs, a token has no pass, or the cache lost a page."""
        alone = {name: self._alone(member) for name, member in _named(case)}
        together = self._together(case, alone)
        for name, member in _named(case):
            _accounted(name, together[name])
            self._fits(name, member, together[name])
            self._count(together[name], member)
            if member.plan.mode is not ModeName.DIFFUSION:
                _same(name, member, together[name], alone[name])

    def _fits(self, name: str, member: Member, answer: Answer) -> None:
        """A shaped output is one that its grammar allows, and a complete one where the model ended it."""
        if member.shape is None:
            return
        constraint = compile_format(member.shape, self._tokenizer)
        try:
            for token in answer.token_ids:
                constraint.advance(token)
        except EngineError as error:
            raise Broken(f"{name} as {member.plan}: {answer.text!r} is not what {member.shape} allows") from error

    def _count(self, answer: Answer, member: Member) -> None:
        """What cases had in them, so that one can tell that they had everything."""
        self.kinds |= {record.kind for record in answer.records}
        self.tally["forced"] += sum(len(record.forced) for record in answer.records)
        self.tally["resumed"] += member.resumes > 0
        if answer.finished is None:
            self.tally["failed"] += 1
            return
        usage = answer.finished.usage
        self.tally["accepted"] += usage.accepted
        self.tally["rejected"] += usage.rejected
        self.tally["preempted"] += usage.preemptions
        self.tally["borrowed"] += usage.cached_prompt_tokens
        self.tally["aborted"] += answer.finished.reason is FinishReason.ABORTED

    def _alone(self, member: Member) -> Answer:
        """Autoregression, nobody else, an empty cache."""
        core = Core(self._tokenizer, self._model, EngineConfig(cache_pages=24), _FLAT)
        plain = replace(member, plan=Plan(ModeName.AUTOREGRESSIVE), resumes=0, joins=0, aborted=None)
        return self._run(core, {"alone": plain}, {})["alone"]

    def _together(self, case: Case, alone: dict[str, Answer]) -> dict[str, Answer]:
        config = EngineConfig(cache_pages=case.pages, max_running=case.max_running, prefill_chunk=case.prefill_chunk)
        core = Core(self._tokenizer, self._model, config, _costs(case.cost_seed))
        return self._run(core, dict(_named(case)), alone)

    def _run(self, core: Core, members: dict[str, Member], known: dict[str, Answer]) -> dict[str, Answer]:
        answers = {name: Answer() for name in members}
        for number in range(_MOST_PASSES):
            for name, member in members.items():
                if member.joins == number:
                    self._join(core, name, member, answers[name], known)
                if member.aborted is not None and member.joins + member.aborted == number:
                    core.loop.abort(name)
            busy = core.loop.step()
            core.scheduler.check_integrity()
            if not busy and number > max(member.joins for member in members.values()):
                return answers
        raise Broken(f"no end after {_MOST_PASSES} passes")

    def _join(self, core: Core, name: str, member: Member, answer: Answer, known: dict[str, Answer]) -> None:
        kept = known[name].token_ids[: member.resumes] if name in known else []
        exact = member.plan.mode is not ModeName.DIFFUSION
        request = Request(
            name,
            member.prompt_ids,
            member.plan,
            member.sampling,
            member.shape,
            tuple(kept) if exact else (),
        )
        answer.token_ids += request.resume_ids
        constraint = compile_format(member.shape, self._tokenizer) if member.shape else None
        core.prepare(request, constraint, answer.take)()


def _named(case: Case) -> list[tuple[str, Member]]:
    return [(f"r{number}", member) for number, member in enumerate(case.members)]


def _same(name: str, member: Member, ours: Answer, alone: Answer) -> None:
    if ours.failed or alone.failed:
        if ours.failed != alone.failed:
            raise Broken(f"{name} ended with {ours.failed}, alone with {alone.failed}")
        return
    reason = ours.finished.reason if ours.finished else None
    if reason is FinishReason.ABORTED:
        if ours.token_ids != alone.token_ids[: len(ours.token_ids)]:
            raise Broken(f"{name}: until the abort {ours.token_ids}, alone {alone.token_ids}")
        return
    if ours.token_ids != alone.token_ids:
        raise Broken(f"{name} as {member.plan}: {ours.token_ids}, alone {alone.token_ids}")
    if ours.logprobs != alone.logprobs[len(alone.logprobs) - len(ours.logprobs) :]:
        raise Broken(f"{name}: log-probabilities {ours.logprobs}, alone {alone.logprobs}")
    if not alone.text.endswith(ours.text) or reason != (alone.finished.reason if alone.finished else None):
        raise Broken(f"{name}: text {ours.text!r} ({reason}), alone {alone.text!r}")


def _accounted(name: str, answer: Answer) -> None:
    """Every token has one pass, every checked draft one fate."""
    if answer.finished is None:
        if answer.failed is None:
            raise Broken(f"{name} has no end")
        return
    usage = answer.finished.usage
    committed = [token for record in answer.records for token in record.committed]
    resumed = len(answer.token_ids) - len(committed)
    checked = sum(len(record.sources) for record in answer.records)
    decoding = sum(record.kind not in (PassKind.PREFILL, PassKind.FORCED) for record in answer.records)
    if answer.token_ids[resumed:] != committed or usage.completion_tokens != len(answer.token_ids):
        raise Broken(f"{name}: passes committed {committed}, the stream said {answer.token_ids}")
    if usage.drafted != checked or usage.drafted != usage.accepted + usage.rejected or usage.passes != decoding:
        raise Broken(f"{name}: {usage} against {checked} drafts checked in {decoding} passes")


def _costs(seed: int) -> Costs:
    """Different machines: widths that cost much or nothing, so that `auto` chooses differently."""
    chance = random.Random(seed)
    slope = chance.choice([0.0, 0.01, 0.1, 1.0])
    return Costs([1.0 + slope * rows for rows in range(65)], chance.choice([0.0, 1e-5]))
