"""One accepted request on its way: what has been decided, streamed and recorded so far."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from triroute.proto import chat_pb2, decoding_pb2, engine_pb2, router_pb2
from triroute.router.capture.drafts import HIDDEN, own_drafts
from triroute.router.classifier.framework import framework
from triroute.router.classifier.truth import LONGEST, observe
from triroute.router.convert.plan import from_plan
from triroute.router.convert.words import STEPS, number_of
from triroute.router.features import written
from triroute.router.fleet.rates import Grant
from triroute.router.policy.trial.turn import Turn
from triroute.router.segments import Segments, call_id, call_records, ran
from triroute.router.speech import Speech
from triroute.router.structured.attempt import GRAMMAR_OFF, Attempt, may_escalate
from triroute.router.structured.calls import deltas
from triroute.router.structured.check import Checked, unquoted
from triroute.router.types import Capture, Decision, FormatKind, Load, Request, Step, StepKind

CANCELLED = "CANCELLED"
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the output was after a commit, in each of its counts."""

    tokens: int = 0
    characters: int = 0
    passes: int = 0
    calls: int = 0
    broken_calls: int = 0
    speech: tuple[int, int] = (0, 0)  # what is known of it, and given out

    def within(self, characters: int, tokens: int | None) -> bool:
        """Whether no more than so much had been written: in tokens, where they are known."""
        return self.characters <= characters if tokens is None else self.tokens <= tokens


@dataclass(slots=True)
class Run:
    """Grows while a request runs; counts are derived from its passes."""

    message: router_pb2.GenerateRequest
    request: Request
    grant: Grant | None = None  # what its tenant was let in with, where that is limited
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    carried: tuple[tuple[str, str], ...] = ()  # its trace, as the W3C's headers
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
    passes: list[decoding_pb2.PassRecord] = field(default_factory=list)
    calls: list[engine_pb2.WrittenCall] = field(default_factory=list)
    broken_calls: list[int] = field(default_factory=list)  # the tokens that opened them
    resumes: int = 0
    finish: router_pb2.Finish | None = None
    error: str = ""
    recorded: bool = False  # for good, before the end is told
    attempt: Attempt | None = None  # what writes the output, once it is decided
    unenforced: tuple[str, ...] = ()
    escalations: list[router_pb2.Escalation] = field(default_factory=list)
    _segments: Segments = field(default_factory=Segments)
    _speech: Speech = field(default_factory=Speech)
    _text: list[str] = field(default_factory=list)
    _marks: list[Mark] = field(default_factory=list)
    _held: list[tuple[int, router_pb2.GenerateEvent]] = field(default_factory=list)  # after so many commits

    def take(self, commit: engine_pb2.Commit) -> list[router_pb2.GenerateEvent]:
        """Note a commit; what the client hears of it."""
        if self.escalations and self.decided is not None:
            commit.plan = len(self.decided.segments) + 1
        segment = self._segments.number(commit)
        for record in commit.passes:
            record.index = len(self.passes)
            record.segment = segment
            self.passes.append(record)
        self.token_ids += commit.token_ids
        self.calls += commit.calls
        self.broken_calls += commit.broken_calls
        events = self.say(commit.text, commit.speech, commit.token_ids, commit.logprobs)
        if self.request.may_call:
            events += [router_pb2.GenerateEvent(tool_call=d) for d in deltas(self.request_id, commit.call_pieces)]
        counts = (len(self.token_ids), self.characters, len(self.passes), len(self.calls), len(self.broken_calls))
        self._marks.append(Mark(*counts, (len(self._speech.known), self._speech.at)))
        return events

    def say(
        self,
        text: str,
        speech: Iterable[engine_pb2.Stretch] = (),
        token_ids: Iterable[int] = (),
        logprobs: Iterable[decoding_pb2.TokenLogprob] = (),
    ) -> list[router_pb2.GenerateEvent]:
        """A delta of the present segment, where there is anything to say."""
        self.characters += len(text)
        self._text.append(text)
        delta = router_pb2.Delta(text=text, token_ids=token_ids, logprobs=logprobs)
        if self.request.may_call:
            delta.content = self._speech.take(text, speech)
        if self._segments.known:
            delta.segment, delta.kind = len(self._segments.known) - 1, self._segments.known[-1][0]
        return [router_pb2.GenerateEvent(delta=delta)] if text or delta.token_ids or delta.content else []

    def interrupt(self) -> None:
        """The engine was lost; another one goes on."""
        self.resumes += 1
        self._segments.interrupt()

    @property
    def text(self) -> str:
        """The output so far."""
        return "".join(self._text)

    @property
    def is_required(self) -> bool:
        """Whether the policy lets it end well only with a record on the disk."""
        return self.decision is not None and self.decision.extras.audit == "required"

    @property
    def holds(self) -> bool:
        """Whether output waits until it is known to be right: it may turn out wrong, and is written again then."""
        if self.decision is None or self.attempt is None or not may_escalate(self.decision, self.request):
            return False
        return self.attempt.unconstrained or bool(self.unenforced) or bool(self.escalations)

    def hold(self, events: list[router_pb2.GenerateEvent]) -> None:
        """Keep events back, until `held` gives them out."""
        self._held += [(len(self._marks), event) for event in events]

    def held(self) -> list[router_pb2.GenerateEvent]:
        """All that was kept back and still stands."""
        events, self._held = [event for _, event in self._held], []
        return events

    def escalates(self, checked: Checked) -> bool:
        """Whether what is wrong is written again; if so, what comes before it is kept, and `attempt` is the next."""
        escalation = self.decision.extras.escalation if self.decision is not None else None
        if self.attempt is None or escalation is None or not checked.invalid or not self.holds:
            return False
        _, mode, most = escalation
        if self.attempt.number >= most:
            return False
        characters = 0 if self.request.sampling.stop else checked.sound_characters  # text lags behind tokens then
        sound = [mark for mark in self._marks[:-1] if mark.within(characters, checked.sound_tokens)]
        self.attempt = self.attempt.again(mode)
        sampling = self.attempt.sampling
        told = router_pb2.Escalation(
            check=checked.told,
            plan=from_plan(self.attempt.plan),
            seed=sampling.seed,
            temperature=sampling.temperature,
        )
        self.escalations.append(told)
        self._give_up(len(sound))
        return True

    def keep_nothing(self) -> None:
        """The engine can't go on from what was kept."""
        self._give_up(0)

    def _give_up(self, kept: int) -> None:
        """Move what came after so many commits to the last escalation."""
        mark = self._marks[kept - 1] if kept else Mark()
        last = self.escalations[-1]
        tokens, passes = [*self.token_ids[mark.tokens :], *last.token_ids], [*self.passes[mark.passes :], *last.passes]
        del last.token_ids[:], last.passes[:]
        last.token_ids.extend(tokens)
        last.passes.extend(passes)
        last.kept_tokens = mark.tokens
        self._text = [self.text[: mark.characters]]
        self._speech.cut(*mark.speech, self.text)
        self._held = [(number, event) for number, event in self._held if number <= kept]
        self.characters = mark.characters
        del self._marks[kept:], self.token_ids[mark.tokens :], self.passes[mark.passes :]
        del self.calls[mark.calls :], self.broken_calls[mark.broken_calls :]
        self._segments.cut(max((record.segment for record in self.passes), default=-1) + 1)

    def end(self, finish: engine_pb2.Finish, check: router_pb2.Check) -> router_pb2.Finish:
        """The stream's last event."""
        decoding = self.decoding
        given_up = [record for escalation in self.escalations for record in escalation.passes]
        spent = [*decoding, *(record for record in given_up if record.kind != decoding_pb2.PassRecord.KIND_PREFILL)]
        summary = self.segments()
        self.finish = router_pb2.Finish(
            reason=finish.reason,
            usage=decoding_pb2.Usage(
                prompt_tokens=self.prompt_tokens,
                completion_tokens=len(self.token_ids),
                drafted_tokens=sum(segment.drafted for segment in summary),
                accepted_prediction_tokens=sum(segment.accepted for segment in summary),
                rejected_prediction_tokens=sum(segment.rejected for segment in summary),
                passes=sum(ran(record) for record in spent),
                prefill_passes=len(self.passes) + len(given_up) - len(spent),
                forced_tokens=sum(len(record.forced) for record in decoding),
                lossy_tokens=sum(len(record.lossy) for record in decoding),
                cached_prompt_tokens=finish.usage.cached_prompt_tokens,
                preemptions=finish.usage.preemptions,
            ),
            timings=finish.timings,
            segments=summary,
            resumes=self.resumes,
            check=check if check.result else None,
            unenforced=self.unenforced,
            escalations=self.escalations,
            tool_calls=[
                chat_pb2.ToolCall(id=call_id(self.request_id, c.number), name=c.name, arguments_json=c.arguments_json)
                for c in self.calls
            ],
        )
        return self.finish

    def observed(self) -> StepKind:
        """What the output turned out to be; unknown where there is none, or it did not end by itself or its limits."""
        if self.finish is None or self.finish.reason == decoding_pb2.FINISH_REASON_ABORTED:
            return StepKind.UNKNOWN
        shaped = self.request.response_format.kind is FormatKind.JSON_SCHEMA and bool(self.text)
        held = shaped and self.attempt is not None and not self.attempt.unconstrained
        return observe(self.text[:LONGEST], called=bool(self.calls) or held)

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
    def decoding(self) -> list[decoding_pb2.PassRecord]:
        """The passes that were not prefill, and what the response format forced before the first."""
        return [record for record in self.passes if record.kind != decoding_pb2.PassRecord.KIND_PREFILL]

    @property
    def reason(self) -> str:
        """Why it failed, in the word that the caller's status has too; empty where it did not."""
        return self.error.partition(":")[0]

    def segments(self) -> list[router_pb2.SegmentSummary]:
        """What each segment ran as."""
        decided = self.decided or router_pb2.Decision()
        plans = [decided.plan, *(own.plan for own in decided.segments), *(e.plan for e in self.escalations[-1:])]
        return self._segments.summaries(plans, self.decoding)

    def call_records(self) -> list[router_pb2.CallRecord]:
        """The tool calls of the output so far."""
        return call_records(self.request_id, self.calls, self.passes)

    @property
    def captures(self) -> Capture:
        """What is to be kept of the request."""
        return self.decision.extras.capture if self.decision is not None else Capture.FEATURES

    def record(self, model: str, engine_sha256: str, token_text: dict[int, str]) -> router_pb2.Record:
        """Everything known about it, for good."""
        features, salt = None, b""
        if self.captures is not Capture.NONE:
            salt = secrets.token_bytes(_SALT_BYTES)
            features = written(self.request, self.message.hints, self.step, self.load) if self.step else None
        return router_pb2.Record(
            request_id=self.request_id,
            arrived_us=self.arrived_ns // 1000,
            request_sha256=digest(salt, self.message) if salt else "",
            request_salt=salt,
            session_id=self.request.session_id or "" if salt else "",
            unconstrained=self.decision is not None and self.decision.extras.grammar == GRAMMAR_OFF,
            decision=self.told_decision(),
            token_ids=self.token_ids,
            passes=self._told(self.passes),
            finish=self.told_finish(),
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

    def told_decision(self) -> router_pb2.Decision | None:
        """The decision as records and spans tell it: where nothing is captured, without what the caller said."""
        if self.decided is None or self.decision is None or self.captures is not Capture.NONE:
            return self.decided
        told = router_pb2.Decision()
        told.CopyFrom(self.decided)
        for over, own in zip(told.passed_over, self.decision.passed_over_unquoted, strict=True):
            over.why = own.why
        return told

    def _told(self, passes: Sequence[decoding_pb2.PassRecord]) -> Sequence[decoding_pb2.PassRecord]:
        """Passes as records tell them: where content is not captured, without drafts that may quote the request."""
        return passes if self.captures is Capture.CONTENT or not self._may_quote else own_drafts(passes)

    @property
    def _may_quote(self) -> bool:
        """Whether drafts may come from the prompt, or from a schema."""
        decided = self.decided or router_pb2.Decision()
        plans = [decided.plan, *(own.plan for own in decided.segments), *(one.plan for one in self.escalations)]
        lookup = decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP
        return self.request.has_format or self.request.may_call or any(lookup in p.draft_sources for p in plans)

    def told_finish(self) -> router_pb2.Finish | None:
        """The end as records tell it: where content is not captured, without quotes of the request or the output."""
        if self.finish is None or self.captures is Capture.CONTENT:
            return self.finish
        told = router_pb2.Finish()
        told.CopyFrom(self.finish)
        if told.HasField("check"):
            told.check.CopyFrom(unquoted(told.check))
        for escalation in told.escalations:
            escalation.check.CopyFrom(unquoted(escalation.check))
            passes = self._told(list(escalation.passes))
            del escalation.passes[:]
            escalation.passes.extend(passes)
        return told

    def known_tokens(self) -> list[int]:
        """Every token that the record names."""
        paths = [self.passes, *(escalation.passes for escalation in self.escalations)]
        passes = [record for path in paths for record in self._told(path)]
        named = (ids for one in passes for ids in (one.proposed_ids, one.committed_ids, one.rejected_ids))
        return sorted({*self.token_ids, *(token for ids in named for token in ids)} - {HIDDEN})


def digest(salt: bytes, message: router_pb2.GenerateRequest) -> str:
    """What a record says of its request: whoever has both can tell that they belong together."""
    return hashlib.sha256(salt + message.SerializeToString(deterministic=True)).hexdigest()
