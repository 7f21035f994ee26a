"""Runs a recorded step again, as it was decided then, and compares token by token.

Where exact modes ran, plain autoregression must give the same bytes: the proof that speculation changed nothing.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, replace

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.capture.content import ContentStore
from triroute.router.convert.engine import to_engine
from triroute.router.convert.plan import to_plan
from triroute.router.convert.request import to_request
from triroute.router.convert.words import SEGMENTS
from triroute.router.errors import NotFound
from triroute.router.run import digest
from triroute.router.structured.attempt import Attempt
from triroute.router.supervisor import Supervisor
from triroute.router.types import DecodePlan, Mode, Request, Verification

_PREFILL = decoding_pb2.PassRecord.KIND_PREFILL
_FORCED = decoding_pb2.PassRecord.KIND_FORCED
_LONGEST = 64  # characters of a value in words


@dataclass(frozen=True, slots=True)
class Again:
    """A step that can run again: what was recorded, and what was captured."""

    record: router_pb2.Record
    message: router_pb2.GenerateRequest
    request: Request

    @classmethod
    def of(cls, record: router_pb2.Record, contents: ContentStore) -> Again:
        """Raises NotFound where the request was not captured, or is not the one of the record."""
        if not record.captured:
            raise NotFound(
                f"step {record.request_id} was not captured; rules with `capture: content` have steps that replay"
            )
        if not record.decision.rule_id:
            raise NotFound(f"step {record.request_id} was refused before anything ran: {record.error}")
        message, salt = contents.get(record.request_id)
        if digest(salt, message) != record.request_sha256:
            raise NotFound(f"the content of {record.request_id} is not what its record is about: its hash differs")
        return cls(record, message, to_request(message))

    @property
    def attempt(self) -> Attempt:
        """What wrote the output: as decided, or as the last escalation had it."""
        decision, escalations = self.record.decision, self.record.finish.escalations
        segments = tuple((SEGMENTS[own.kind], to_plan(own.plan)) for own in decision.segments)
        sampling = self.request.sampling
        first = Attempt(to_plan(decision.plan), segments, sampling, self.record.unconstrained)
        if not escalations:
            return first
        last = escalations[-1]
        drawn = replace(sampling, seed=last.seed, temperature=last.temperature)
        return Attempt(to_plan(last.plan), (), drawn, unconstrained=False, number=len(escalations))

    @property
    def kept(self) -> int:
        """Tokens of the output that an earlier attempt had written."""
        escalations = self.record.finish.escalations
        return escalations[-1].kept_tokens if escalations else 0

    @property
    def is_whole(self) -> bool:
        """Whether it ended by itself: else what there is of it is compared."""
        ended = self.record.HasField("finish")
        return ended and self.record.finish.reason != decoding_pb2.FINISH_REASON_ABORTED

    @property
    def is_exact(self) -> bool:
        """Whether autoregression must give the same."""
        return all(p.mode is not Mode.DIFFUSION and p.verification is Verification.EXACT for p in self._plans)

    @property
    def may_differ(self) -> bool:
        """Whether it need not come out the same: relaxed drafts go by their blocks, and those by measured times."""
        return any(p.verification is Verification.RELAXED and not p.block_length for p in self._plans)

    @property
    def _plans(self) -> tuple[DecodePlan, ...]:
        attempt = self.attempt
        return (attempt.plan, *(plan for _, plan in attempt.segments))


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to. Times in seconds; `passes` without those of the prompt.

    `by_plan`: tokens that each plan of the attempt wrote, its own first, then those of its segments.
    """

    token_ids: tuple[int, ...]
    text: str
    reason: decoding_pb2.FinishReason.ValueType
    passes: int
    seconds: float
    by_plan: tuple[int, ...] = ()

    @property
    def tokens_a_pass(self) -> float:
        return len(self.token_ids) / max(self.passes, 1)


@dataclass(frozen=True, slots=True)
class Compared:
    """A run beside the recorded output. `differs_at`: the first token that is another, None where all are the same."""

    how: str
    ran: Ran
    differs_at: int | None
    reason_differs: bool = False

    @property
    def same(self) -> bool:
        return self.differs_at is None and not self.reason_differs


@dataclass(frozen=True, slots=True)
class Replayed:
    """One step: as it ran, and by plain autoregression where that must be the same."""

    again: Again
    runs: tuple[Compared, ...]
    engine: tuple[str, ...]  # what is another about this engine

    @property
    def same(self) -> bool:
        return all(one.same for one in self.runs)


class Replayer:
    """Runs steps on one engine."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._count = 0

    async def replay(self, again: Again, engine: bytes | None) -> Replayed:
        """As it ran, and by autoregression. `engine` is the Description of the recorded one. Raises TrirouteError."""
        runs = [await self._compared("as it ran", again, again.attempt)]
        if again.is_exact and (again.attempt.plan.mode is not Mode.AUTOREGRESSIVE or again.attempt.segments):
            plain = replace(again.attempt, plan=DecodePlan(Mode.AUTOREGRESSIVE), segments=())
            runs.append(await self._compared("autoregression", again, plain))
        return Replayed(again, tuple(runs), self.differences(engine))

    def differences(self, engine: bytes | None) -> tuple[str, ...]:
        """What is another about this engine than about one with this Description, in words."""
        return tuple(differences(engine, self._supervisor.description))

    async def run(self, again: Again, attempt: Attempt) -> Ran:
        """The step by another plan. Raises TrirouteError."""
        self._count += 1
        record, kept = again.record, again.kept if attempt.number else 0
        if not again.is_whole:  # no more than there is to compare
            attempt = replace(attempt, sampling=replace(attempt.sampling, max_tokens=max(len(record.token_ids), 1)))
        asked = to_engine(again.message, again.request, attempt, f"replay-{self._count}-{record.request_id}")
        asked.resume_ids[:] = record.token_ids[:kept]
        tokens, text, passes = list(record.token_ids[:kept]), [], 0
        by_plan = [0] * (1 + len(attempt.segments))
        began, finish = time.perf_counter(), engine_pb2.Finish()
        async with aclosing(self._supervisor.client.generate(asked)) as events:
            async for event in events:
                match event.WhichOneof("event"):
                    case "commit":
                        tokens += event.commit.token_ids
                        text.append(event.commit.text)
                        by_plan[event.commit.plan] += len(event.commit.token_ids)
                        passes += sum(one.kind not in (_PREFILL, _FORCED) for one in event.commit.passes)
                    case "finish":
                        finish = event.finish
                        text.append(finish.text)
        seconds = time.perf_counter() - began
        return Ran(tuple(tokens), "".join(text), finish.reason, passes, seconds, tuple(by_plan))

    async def _compared(self, how: str, again: Again, attempt: Attempt) -> Compared:
        ran, recorded = await self.run(again, attempt), tuple(again.record.token_ids)
        ours = ran.token_ids if again.is_whole else ran.token_ids[: len(recorded)]
        other = again.is_whole and ran.reason != again.record.finish.reason
        return Compared(how, ran, first_difference(ours, recorded), other)


def first_difference(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int | None:
    """The first place where two outputs are not the same."""
    if ours == theirs:
        return None
    pairs = zip(ours, theirs, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(ours), len(theirs)))


def differences(recorded: bytes | None, now: engine_pb2.Description) -> list[str]:
    """What is another about an engine, in words."""
    if recorded is None:
        return ["the engine that ran it is not in the store"]
    before, after = _identity(engine_pb2.Description.FromString(recorded)), _identity(now)
    names = dict.fromkeys((*before, *after))
    return [
        f"{name} was {_short(before.get(name))}, is {_short(after.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _identity(engine: engine_pb2.Description) -> dict[str, str]:
    """What the bits of an output may depend on."""
    names = ("model", "checkpoint_sha256", "adapter_sha256", "version", "device", "kernels")
    plain = {name: getattr(engine, name) for name in names if getattr(engine, name)}
    return plain | dict(sorted(engine.versions.items()))


def _short(value: str | None) -> str:
    return value[:_LONGEST] if value else "none"


_LONGEST = 64
