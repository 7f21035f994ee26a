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
from triroute.router.segments import Segments, call_records, ran
from triroute.router.types import Decision, DecodePlan, Load, Request, SegmentKind, Step, StepKind

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
    calls: list[engine_pb2.WrittenCall] = field(default_factory=list)
    resumes: int = 0
    finish: router_pb2.Finish | None = None
    error: str = ""
    _segments: Segments = field(default_factory=Segments)

    def take(self, commit: engine_pb2.Commit) -> router_pb2.Delta | None:
        """Note a commit; the delta for the client, where there is one."""
        segment = self._segments.number(commit)
        for record in commit.passes:
            record.index = len(self.passes)
            record.segment = segment
            self.passes.append(record)
        self.token_ids += commit.token_ids
        self.calls += commit.calls
        return self.say(commit.text, commit.token_ids, commit.logprobs)

    def say(
        self,
        text: str,
        token_ids: Iterable[int] = (),
        logprobs: Iterable[decoding_pb2.TokenLogprob] = (),
    ) -> router_pb2.Delta | None:
        """A delta of the present segment, where there is anything to say."""
        if self.characters < LONGEST:
            self.said.append(text)
        self.characters += len(text)
        delta = router_pb2.Delta(text=text, token_ids=token_ids, logprobs=logprobs)
        if self._segments.known:
            delta.segment, delta.kind = len(self._segments.known) - 1, self._segments.known[-1][0]
        return delta if text or delta.token_ids else None

    def interrupt(self) -> None:
        """The engine was lost; another one goes on."""
        self.resumes += 1
        self._segments.interrupt()

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
                passes=sum(ran(record) for record in decoding),
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
    def segment_plans(self) -> tuple[tuple[SegmentKind, DecodePlan], ...]:
        """What runs in parts of the output instead of `plan`."""
        return self.decision.extras.segments if self.decision else ()

    @property
    def decoding(self) -> list[decoding_pb2.PassRecord]:
        """The passes that were not prefill, and what the response format forced before the first."""
        return [record for record in self.passes if record.kind != decoding_pb2.PassRecord.KIND_PREFILL]

    def segments(self) -> list[router_pb2.SegmentSummary]:
        """What each segment ran as."""
        decided = self.decided or router_pb2.Decision()
        return self._segments.summaries([decided.plan, *(own.plan for own in decided.segments)], self.decoding)

    def call_records(self) -> list[router_pb2.CallRecord]:
        """The tool calls of the output so far."""
        return call_records(self.request_id, self.calls, self.passes)

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
            calls=self.call_records(),
            observed=number_of(STEPS, self.observed()),
            framework=framework(self.request),
        )

    def known_tokens(self) -> list[int]:
        """Every token that the record names."""
        proposed = (token for record in self.passes for token in (*record.proposed_ids, *record.committed_ids))
        return sorted({*self.token_ids, *proposed})


def _digest(message: router_pb2.GenerateRequest) -> str:
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
