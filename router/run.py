"""One accepted request on its way: what has been decided, streamed and recorded so far."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.classifier.framework import framework
from triroute.router.classifier.truth import LONGEST, observe
from triroute.router.convert import STEPS, number_of
from triroute.router.features import written
from triroute.router.fleet.rates import Grant
from triroute.router.policy.trial.turn import Turn
from triroute.router.types import Decision, DecodePlan, Load, Request, Step, StepKind

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
LONGEST_ACCEPT_PATH = 4_096
CANCELLED = "CANCELLED"


@dataclass(slots=True)
class Run:
    """Grows while a request runs; counts are derived from its passes."""

    message: router_pb2.GenerateRequest
    request: Request
    grant: Grant | None = None  # what its tenant was let in with, where that is limited
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    arrived_ns: int = field(default_factory=time.time_ns)
    decided_ns: int = 0
    ended_ns: int = 0
    step: Step | None = None  # as the classifier said
    load: Load = field(default_factory=Load)  # that the decision was made under
    decision: Decision | None = None
    decided: router_pb2.Decision | None = None  # the same, as it was sent
    turn: Turn | None = None
    shadow: router_pb2.ShadowDecision | None = None
    prompt_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    characters: int = 0
    said: list[str] = field(default_factory=list)  # the output's text, up to what its kind is judged by
    passes: list[decoding_pb2.PassRecord] = field(default_factory=list)
    resumes: int = 0
    finish: router_pb2.Finish | None = None
    error: str = ""

    def take(self, commit: engine_pb2.Commit) -> router_pb2.Delta | None:
        """Note a commit; the delta for the client, where there is one."""
        for record in commit.passes:
            record.index = len(self.passes)
            self.passes.append(record)
        self.token_ids += commit.token_ids
        return self.say(commit.text, commit.token_ids, commit.segment, commit.logprobs)

    def say(
        self,
        text: str,
        token_ids: Iterable[int] = (),
        segment: int = 0,
        logprobs: Iterable[decoding_pb2.TokenLogprob] = (),
    ) -> router_pb2.Delta | None:
        """A delta, where there is anything to say."""
        if self.characters < LONGEST:
            self.said.append(text)
        self.characters += len(text)
        delta = router_pb2.Delta(text=text, token_ids=token_ids, segment=segment, logprobs=logprobs)
        return delta if text or delta.token_ids else None

    def end(self, finish: engine_pb2.Finish) -> router_pb2.Finish:
        """The stream's last event."""
        decoding = self.decoding
        summary = self.segments()
        self.finish = router_pb2.Finish(
            reason=finish.reason,
            usage=decoding_pb2.Usage(
                prompt_tokens=self.prompt_tokens,
                completion_tokens=len(self.token_ids),
                drafted_tokens=sum(segment.drafted for segment in summary),
                accepted_prediction_tokens=sum(segment.accepted for segment in summary),
                rejected_prediction_tokens=sum(segment.rejected for segment in summary),
                passes=sum(_ran(record) for record in decoding),
                prefill_passes=len(self.passes) - len(decoding),
                forced_tokens=sum(len(record.forced) for record in decoding),
                cached_prompt_tokens=finish.usage.cached_prompt_tokens,
                preemptions=finish.usage.preemptions,
            ),
            timings=finish.timings,
            segments=summary,
            resumes=self.resumes,
        )
        return self.finish

    def observed(self) -> StepKind:
        """What the output turned out to be; unknown where there is none, or it did not end by itself or its limits."""
        if self.finish is None or self.finish.reason == decoding_pb2.FINISH_REASON_ABORTED:
            return StepKind.UNKNOWN
        return observe("".join(self.said))

    @property
    def milliseconds_a_token(self) -> float | None:
        """From the decision to the end, over the tokens of the output. None for a step that failed."""
        if self.failed or not self.decided_ns:
            return None
        return (self.ended_ns - self.decided_ns) / 1e6 / max(len(self.token_ids), 1)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error that is not the caller's leaving."""
        return bool(self.error) and not self.error.startswith(CANCELLED)

    @property
    def plan(self) -> DecodePlan:
        if self.decision is None:
            raise RuntimeError("the run has not been decided")
        return self.decision.plan

    @property
    def decoding(self) -> list[decoding_pb2.PassRecord]:
        """The passes that were not prefill, and what the response format forced before the first."""
        return [record for record in self.passes if record.kind != decoding_pb2.PassRecord.KIND_PREFILL]

    def segments(self) -> list[router_pb2.SegmentSummary]:
        """What each segment ran as."""
        plan = self.decided.plan if self.decided else decoding_pb2.DecodePlan()
        numbers = sorted({record.segment for record in self.decoding})
        return [_summary(number, plan, [r for r in self.decoding if r.segment == number]) for number in numbers]

    def record(self, model: str, engine_sha256: str, token_text: dict[int, str]) -> router_pb2.Record:
        """Everything known about it, for good."""
        hints = self.message.hints
        features = written(self.request, hints, self.step, self.load) if self.step else None
        return router_pb2.Record(
            request_id=self.request_id,
            arrived_us=self.arrived_ns // 1000,
            request_sha256=_digest(self.message),
            decision=self.decided,
            token_ids=self.token_ids,
            passes=self.passes,
            finish=self.finish,
            error=self.error,
            token_text=token_text,
            model=model,
            features=features,
            engine_sha256=engine_sha256,
            shadow=self.shadow,
            observed=number_of(STEPS, self.observed()),
            framework=framework(self.request),
        )

    def known_tokens(self) -> list[int]:
        """Every token that the record names."""
        proposed = (token for record in self.passes for token in (*record.proposed_ids, *record.committed_ids))
        return sorted({*self.token_ids, *proposed})


def _summary(
    number: int, plan: decoding_pb2.DecodePlan, passes: list[decoding_pb2.PassRecord]
) -> router_pb2.SegmentSummary:
    drafted = sum(len(r.sources) for r in passes)
    accepted = sum(min(r.accepted, len(r.committed_ids)) for r in passes)
    committed = [len(r.committed_ids) for r in passes]
    return router_pb2.SegmentSummary(
        index=number,
        mode=plan.mode,
        variant=plan.variant,
        tokens=sum(committed),
        passes=sum(_ran(record) for record in passes),
        drafted=drafted,
        accepted=accepted,
        rejected=drafted - accepted,
        accept_path="".join(_DIGITS[min(count, 35)] for count in committed[:LONGEST_ACCEPT_PATH]),
    )


def _ran(record: decoding_pb2.PassRecord) -> bool:
    return record.kind != decoding_pb2.PassRecord.KIND_FORCED


def _digest(message: router_pb2.GenerateRequest) -> str:
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
