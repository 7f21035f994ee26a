"""What is counted of each step that ends, as OpenTelemetry metrics; `metrics` has what is of policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.run import Run
from triroute.router.telemetry.names import (
    ACCEPTED_LENGTH,
    CACHE,
    CHECKS,
    DECODED,
    DRAFTS,
    DROPPED,
    DURATION,
    ERROR,
    ESCALATIONS,
    FIRST_TOKEN,
    INFO,
    LOST,
    MODE,
    OPERATION,
    OUTCOME,
    PER_FORWARD,
    PER_TOKEN,
    POLICY_NAME,
    POLICY_RULE,
    PREEMPTIONS,
    PROVIDER,
    REASON,
    REQUEST_MODEL,
    RESTARTS,
    RESULT,
    RESUMES,
    REVISION,
    RUNNING,
    SEGMENT_KIND,
    STEP_KIND,
    TOKEN_TYPE,
    USAGE,
    WAITING,
)
from triroute.router.telemetry.span_export import Dropped
from triroute.router.types import Load
from triroute.router.words import word

Labels = dict[str, str]

_VERIFY = decoding_pb2.PassRecord.KIND_VERIFY
_GAUGES, _OBSERVED = (RUNNING, WAITING, CACHE, INFO), (RESTARTS, LOST, DROPPED)
_HISTOGRAMS = (DURATION, FIRST_TOKEN, PER_TOKEN, USAGE, PER_FORWARD, ACCEPTED_LENGTH)
_COUNTERS = (DECODED, DRAFTS, CHECKS, ESCALATIONS, RESUMES, PREEMPTIONS)


@dataclass(frozen=True, slots=True)
class Now:
    """What is read when metrics are. `policy` is the name and the revision."""

    load: Load = field(default_factory=Load)
    restarts: int = 0
    lost: int = 0
    policy: tuple[str, str] = ("", "")
    dropped: Dropped = field(default_factory=Dropped)


class StepMetrics:
    """Counts a step when it has ended. Exemplars carry its trace."""

    def __init__(self, meter: Meter) -> None:
        self.now: Callable[[], Now] = Now  # the service sets it, once it serves
        self._histograms = {
            one: meter.create_histogram(one, one.unit, one.what, explicit_bucket_boundaries_advisory=one.buckets)
            for one in _HISTOGRAMS
        }
        self._counters = {one: meter.create_counter(one, one.unit, one.what) for one in _COUNTERS}
        for gauge in _GAUGES:
            meter.create_observable_gauge(gauge, [partial(self._read, gauge)], gauge.unit, gauge.what)
        for counter in _OBSERVED:
            meter.create_observable_counter(counter, [partial(self._read, counter)], counter.unit, counter.what)

    def count(self, run: Run, span: trace.Span, model: str) -> None:
        """A step that has ended, well or not. `span` is the one that its exemplars lead to."""
        context = trace.set_span_in_context(span)
        decided = run.decided or router_pb2.Decision()
        step = word(router_pb2.StepKind, decided.step)
        mode = word(decoding_pb2.Mode, decided.plan.mode)
        labels: Labels = {
            OPERATION: "text_completion" if run.request.text else "chat",
            PROVIDER: "triroute",
            REQUEST_MODEL: model,
            STEP_KIND: step,
            MODE: mode,
            POLICY_RULE: decided.rule_id,
        }
        failed: Labels = {ERROR: run.reason} if run.error else {}
        seconds = (run.ended_ns - run.arrived_ns) / 1e9
        self._histograms[DURATION].record(seconds, {**labels, **failed}, context)
        own: Labels = {STEP_KIND: step, MODE: mode}
        for record in run.passes:
            if record.kind == _VERIFY:
                self._histograms[ACCEPTED_LENGTH].record(record.accepted, own, context)
        for name, count in ((ESCALATIONS, len(run.escalations)), (RESUMES, run.resumes)):
            if count:
                self._counters[name].add(count, own, context)
        if run.finish is not None:
            self._finished(run, run.finish, labels, context)

    def _finished(self, run: Run, finish: router_pb2.Finish, labels: Labels, context: Context) -> None:
        usage, timings = finish.usage, finish.timings
        record = {name: one.record for name, one in self._histograms.items()}
        own: Labels = {name: labels[name] for name in (STEP_KIND, MODE)}
        record[FIRST_TOKEN](timings.first_token_us / 1e6, labels, context)
        if usage.completion_tokens > 1:
            spent = max(timings.queue_us + timings.prefill_us + timings.decode_us - timings.first_token_us, 0)
            record[PER_TOKEN](spent / 1e6 / (usage.completion_tokens - 1), labels, context)
        for kind, tokens in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            record[USAGE](tokens, {**labels, TOKEN_TYPE: kind}, context)
        if usage.passes:
            record[PER_FORWARD](usage.completion_tokens / usage.passes, own, context)
        if usage.preemptions:
            self._counters[PREEMPTIONS].add(usage.preemptions, own, context)
        for outcome, drafts in (
            ("accepted", usage.accepted_prediction_tokens),
            ("rejected", usage.rejected_prediction_tokens),
        ):
            if drafts:
                self._counters[DRAFTS].add(drafts, {**own, OUTCOME: outcome}, context)
        if finish.HasField("check"):
            result = word(router_pb2.Check.Result, finish.check.result)
            self._counters[CHECKS].add(1, {**own, RESULT: result}, context)
        by_mode = sorted((_mode_and_kind(segment), segment.tokens) for segment in finish.segments)
        for (mode, kind), segments in groupby(by_mode, lambda one: one[0]):
            tokens = sum(count for _, count in segments)
            self._counters[DECODED].add(tokens, {MODE: mode, SEGMENT_KIND: kind}, context)

    def _read(self, name: str, options: CallbackOptions) -> Iterator[Observation]:
        now = self.now()
        if name == INFO:
            policy, revision = now.policy
            yield Observation(1, {POLICY_NAME: policy, REVISION: revision[:12]})
            return
        if name == DROPPED:
            for reason, spans in asdict(now.dropped).items():
                yield Observation(spans, {REASON: reason})
            return
        values: dict[str, float] = {
            RUNNING: now.load.running,
            WAITING: now.load.waiting,
            CACHE: now.load.cache_used,
            RESTARTS: now.restarts,
            LOST: now.lost,
        }
        yield Observation(values[name])


def _mode_and_kind(segment: router_pb2.SegmentSummary) -> tuple[str, str]:
    mode = word(decoding_pb2.Mode, segment.mode)
    kind = word(decoding_pb2.SegmentKind, segment.kind)
    return mode, kind if segment.kind else "whole"
