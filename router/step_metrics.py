"""What is counted of each step that ends, as OpenTelemetry metrics. Names and their meaning are in `NAMES`.

The names `gen_ai.*` and their buckets are those of the GenAI semantic conventions; time per token has finer ones, too.
"""

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
from triroute.router.span_export import Dropped
from triroute.router.types import Load
from triroute.router.words import word

DURATION, FIRST_TOKEN = "gen_ai.server.request.duration", "gen_ai.server.time_to_first_token"
PER_TOKEN, USAGE = "gen_ai.server.time_per_output_token", "gen_ai.client.token.usage"
PER_FORWARD, ACCEPTED = "triroute.tokens_per_forward", "triroute.accepted_length"
DECODED, DRAFTS, CHECKS = "triroute.decoded", "triroute.drafts", "triroute.checks"
ESCALATIONS, RESUMES, PREEMPTIONS = "triroute.escalations", "triroute.resumes", "triroute.preemptions"
RUNNING, WAITING, CACHE = "triroute.engine.running", "triroute.engine.waiting", "triroute.engine.cache_used"
RESTARTS, LOST, INFO = "triroute.engine.restarts", "triroute.records.lost", "triroute.policy.info"
DROPPED = "triroute.telemetry.dropped"

_SECONDS = [0.01 * 2**power for power in range(14)]
_FIRST = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
_TOKEN = [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5]
_COUNT = [float(4**power) for power in range(14)]
_RATIO = [1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8, 12, 16]
_LENGTH = [0.0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32]
_VERIFY = decoding_pb2.PassRecord.KIND_VERIFY

# name -> (unit, buckets, what it is)
HISTOGRAMS: dict[str, tuple[str, list[float], str]] = {
    DURATION: ("s", _SECONDS, "From the arrival of a step to its end."),
    FIRST_TOKEN: ("s", _FIRST, "From the arrival at the engine to the first committed token."),
    PER_TOKEN: ("s", _TOKEN, "Time a token after the first."),
    USAGE: ("{token}", _COUNT, "Tokens of a step, by `gen_ai.token.type`: input and output."),
    PER_FORWARD: ("{token}", _RATIO, "Tokens for each forward pass of a step, without those of its prompt."),
    ACCEPTED: ("{token}", _LENGTH, "Drafts that held, for each pass that verified some."),
}
COUNTERS: dict[str, tuple[str, str]] = {
    DECODED: ("{token}", "Tokens of outputs, by the mode of the segment that they came in and its kind."),
    DRAFTS: ("{token}", "Draft tokens, by outcome: accepted and rejected."),
    CHECKS: ("{step}", "Steps whose output was checked against a schema, by result."),
    ESCALATIONS: ("{escalation}", "Outputs that were written again."),
    RESUMES: ("{resume}", "Times that a step went on after its engine was lost."),
    PREEMPTIONS: ("{preemption}", "Times that a step lost its cache to older ones."),
}
GAUGES: dict[str, tuple[str, str]] = {
    RUNNING: ("{step}", "Steps that share passes now."),
    WAITING: ("{step}", "Steps that wait for cache."),
    CACHE: ("1", "Share of the KV cache in use, 0 to 1."),
    INFO: ("1", "1, with the name and the revision of the policy that decides."),
}
OBSERVED: dict[str, tuple[str, str]] = {
    RESTARTS: ("{restart}", "Times that the engine was restarted."),
    LOST: ("{record}", "Records that could not be written."),
    DROPPED: ("{span}", "Spans that no collector got, by reason: queue_full and export_failed."),
}
NAMES = {name: (unit, what) for name, (unit, _, what) in HISTOGRAMS.items()} | COUNTERS | GAUGES | OBSERVED


@dataclass(frozen=True, slots=True)
class Now:
    """What is read when metrics are. `policy` is the name and the revision."""

    load: Load = field(default_factory=Load)
    restarts: int = 0
    lost: int = 0
    policy: tuple[str, str] = ("", "")
    dropped: Dropped = field(default_factory=Dropped)


class StepMetrics:
    """Counts a step when it has ended. Exemplars carry its trace, where a reader takes them (OTLP does)."""

    def __init__(self, meter: Meter) -> None:
        self.now: Callable[[], Now] = Now  # the service sets it, once it serves
        self._histograms = {
            name: meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=buckets)
            for name, (unit, buckets, what) in HISTOGRAMS.items()
        }
        self._counters = {name: meter.create_counter(name, unit, what) for name, (unit, what) in COUNTERS.items()}
        for name, (unit, what) in GAUGES.items():
            meter.create_observable_gauge(name, [partial(self._read, name)], unit, what)
        for name, (unit, what) in OBSERVED.items():
            meter.create_observable_counter(name, [partial(self._read, name)], unit, what)

    def count(self, run: Run, span: trace.Span, model: str) -> None:
        """A step that has ended, well or not. `span` is the one that its exemplars lead to."""
        context = trace.set_span_in_context(span)
        decided = run.decided or router_pb2.Decision()
        step = word(router_pb2.StepKind, decided.step)
        mode = word(decoding_pb2.Mode, decided.plan.mode)
        labels = {
            "gen_ai.operation.name": "text_completion" if run.request.text else "chat",
            "gen_ai.provider.name": "triroute",
            "gen_ai.request.model": model,
            "triroute.step.kind": step,
            "triroute.mode": mode,
            "triroute.policy.rule": decided.rule_id,
        }
        failed = {"error.type": run.error.partition(":")[0]} if run.error else {}
        seconds = (run.ended_ns - run.arrived_ns) / 1e9
        self._histograms[DURATION].record(seconds, {**labels, **failed}, context)
        own = {"triroute.step.kind": step, "triroute.mode": mode}
        for record in run.passes:
            if record.kind == _VERIFY:
                self._histograms[ACCEPTED].record(record.accepted, own, context)
        for name, count in ((ESCALATIONS, len(run.escalations)), (RESUMES, run.resumes)):
            if count:
                self._counters[name].add(count, own, context)
        if run.finish is not None:
            self._finished(run, run.finish, labels, context)

    def _finished(self, run: Run, finish: router_pb2.Finish, labels: dict[str, str], context: Context) -> None:
        usage, timings = finish.usage, finish.timings
        record = {name: one.record for name, one in self._histograms.items()}
        own = {name: labels[name] for name in ("triroute.step.kind", "triroute.mode")}
        record[FIRST_TOKEN](timings.first_token_us / 1e6, labels, context)
        if usage.completion_tokens > 1:
            spent = max(timings.queue_us + timings.prefill_us + timings.decode_us - timings.first_token_us, 0)
            record[PER_TOKEN](spent / 1e6 / (usage.completion_tokens - 1), labels, context)
        for kind, tokens in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            record[USAGE](tokens, {**labels, "gen_ai.token.type": kind}, context)
        if usage.passes:
            record[PER_FORWARD](usage.completion_tokens / usage.passes, own, context)
        if usage.preemptions:
            self._counters[PREEMPTIONS].add(usage.preemptions, own, context)
        for outcome, drafts in (
            ("accepted", usage.accepted_prediction_tokens),
            ("rejected", usage.rejected_prediction_tokens),
        ):
            if drafts:
                self._counters[DRAFTS].add(drafts, {**own, "outcome": outcome}, context)
        if finish.HasField("check"):
            result = word(router_pb2.Check.Result, finish.check.result)
            self._counters[CHECKS].add(1, {**own, "result": result}, context)
        by_mode = sorted((_mode_and_kind(segment), segment.tokens) for segment in finish.segments)
        for (mode, kind), segments in groupby(by_mode, lambda one: one[0]):
            tokens = sum(count for _, count in segments)
            self._counters[DECODED].add(tokens, {"triroute.mode": mode, "triroute.segment.kind": kind}, context)

    def _read(self, name: str, options: CallbackOptions) -> Iterator[Observation]:
        now = self.now()
        if name == INFO:
            policy, revision = now.policy
            yield Observation(1, {"policy": policy, "revision": revision[:12]})
            return
        if name == DROPPED:
            for reason, spans in asdict(now.dropped).items():
                yield Observation(spans, {"reason": reason})
            return
        values = {RUNNING: now.load.running, WAITING: now.load.waiting, CACHE: now.load.cache_used}
        yield Observation({**values, RESTARTS: now.restarts, LOST: now.lost}[name])


def _mode_and_kind(segment: router_pb2.SegmentSummary) -> tuple[str, str]:
    mode = word(decoding_pb2.Mode, segment.mode)
    kind = word(decoding_pb2.SegmentKind, segment.kind)
    return mode, kind if segment.kind else "whole"
