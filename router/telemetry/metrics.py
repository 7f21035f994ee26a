"""What is counted of policies and of the classifier, as OpenTelemetry metrics; `steps` has what is of steps.

Everything is read when it is exported, from counts that are kept anyway: a request pays nothing for it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from triroute.router.classifier.watch import Watch
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.trial.turn import Trial
from triroute.router.telemetry.exemplars import TracedRegistry
from triroute.router.telemetry.names import (
    AGREES,
    ARM,
    CANARY_PERCENT,
    CANARY_STEPS,
    CANARY_STOPPED,
    CANARY_TIME,
    CANDIDATE,
    CLAIMED,
    CLASSIFIED,
    DRIFT,
    DRIFTING,
    FRAMEWORK,
    OBSERVED,
    OTHER_RULE,
    OUTCOME,
    PREDICTED,
    PROBLEM,
    QUANTILE,
    REFUSED,
    RIGHT,
    RULE,
    SERVICE,
    SHADOW_PROBLEMS,
    SHADOW_STEPS,
    SURE,
    SWAPS,
)
from triroute.router.telemetry.steps import StepMetrics

log = logging.getLogger("triroute.metrics")

_EXPORT_SECONDS, _CLOSE_SECONDS, _CANCEL_SECONDS = 3.0, 1.0, 0.5
_QUANTILES = (0.5, 0.95)


class _Exporter(OTLPMetricExporter):
    """OTLP, with one line when the collector takes no metrics: many take only spans."""

    failing = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        failing = result is not MetricExportResult.SUCCESS
        if failing != self.failing:
            log.info("the collector %s", "takes no metrics; requests go on without" if failing else "takes metrics")
        self.failing = failing
        return result


class Metrics:
    """Exports over OTLP where an endpoint is given, each minute or $OTEL_METRIC_EXPORT_INTERVAL milliseconds.

    OTEL_METRICS_EXPORTER=none exports none. An outage never reaches a request.
    """

    def __init__(
        self, endpoint: str, live: ActivePolicy, readers: Iterable[MetricReader] = (), watch: Watch | None = None
    ) -> None:
        self._live = live
        self.watch = watch or Watch()
        self.registry = TracedRegistry()
        self._exporter = _exporter(endpoint)
        sent = [PeriodicExportingMetricReader(self._exporter)] if self._exporter is not None else []
        every = [*readers, self.registry.reader, *sent]
        resource = Resource.create({"service.name": SERVICE})
        self._provider = MeterProvider(every, resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("triroute")
        self.steps = StepMetrics(meter)
        for counter, read in (
            (SWAPS, self._swaps),
            (REFUSED, self._refused),
            (SHADOW_STEPS, self._shadow),
            (SHADOW_PROBLEMS, self._problems),
            (CLASSIFIED, self._classified),
            (CLAIMED, self._claimed),
            (CANARY_STEPS, self._steps),
        ):
            meter.create_observable_counter(counter, [read], counter.unit, counter.what)
        for gauge, read in (
            (CANARY_PERCENT, self._percent),
            (CANARY_STOPPED, self._stopped),
            (DRIFT, self._drift),
            (DRIFTING, self._drifting),
            (CANARY_TIME, self._time),
        ):
            meter.create_observable_gauge(gauge, [read], gauge.unit, gauge.what)

    def close(self) -> None:
        """Export what is left, within a second."""
        shutdown = threading.Thread(target=self._provider.shutdown, name="triroute-metrics", daemon=True)
        shutdown.start()
        shutdown.join(_CLOSE_SECONDS)
        if shutdown.is_alive() and self._exporter is not None:
            self._exporter.shutdown()  # no more attempts, and none that a hanging collector holds
            shutdown.join(_CANCEL_SECONDS)

    def _swaps(self, options: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._live.swaps)

    def _refused(self, options: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._live.refused)

    def _classified(self, options: CallbackOptions) -> Iterator[Observation]:
        for (predicted, observed, framework), count in list(self.watch.counts.items()):
            named: dict[str, str] = {PREDICTED: predicted.value, OBSERVED: observed.value, FRAMEWORK: framework}
            yield Observation(count, named)

    def _claimed(self, options: CallbackOptions) -> Iterator[Observation]:
        for (sure, right, framework), count in list(self.watch.claims.items()):
            yield Observation(count, {SURE: sure, RIGHT: right, FRAMEWORK: framework})

    def _drift(self, options: CallbackOptions) -> Iterator[Observation]:
        for framework, wealth in list(self.watch.drift.wealth.items()):
            yield Observation(wealth, {FRAMEWORK: framework})

    def _drifting(self, options: CallbackOptions) -> Iterator[Observation]:
        for framework, drifting in list(self.watch.drift.drifting.items()):
            yield Observation(int(drifting), {FRAMEWORK: framework})

    def _shadow(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            shadow = trial.judge.own.shadow
            for agrees, counts in ((True, shadow.agree), (False, shadow.differ)):
                for (rule, other), count in list(counts.items()):
                    yield Observation(count, {**named, RULE: rule, OTHER_RULE: other, AGREES: agrees})

    def _problems(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for kind in ("failed", "slow", "skipped"):
                yield Observation(getattr(trial.judge.own.shadow, kind), {**named, PROBLEM: kind})

    def _steps(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for name in ("stable", "canary"):
                arm = getattr(trial.judge.own, name)
                yield Observation(arm.failed, {**named, ARM: name, OUTCOME: "failed"})
                yield Observation(arm.steps - arm.failed, {**named, ARM: name, OUTCOME: "ok"})

    def _percent(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            yield Observation(trial.candidate.percent, named)

    def _stopped(self, options: CallbackOptions) -> Iterator[Observation]:
        candidate = self._live.candidate
        if candidate is not None:
            yield Observation(int(candidate.stopped), {CANDIDATE: candidate.revision[:12]})

    def _time(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for name in ("stable", "canary"):
                for share in _QUANTILES:
                    seconds = getattr(trial.judge.own, name).quantile(share) / 1000
                    yield Observation(seconds, {**named, ARM: name, QUANTILE: share})

    def _trials(self) -> Iterator[tuple[Trial, dict[str, str]]]:
        """The running one, if there is one, with what names it."""
        trial = self._live.trial
        if trial is not None:
            yield trial, {CANDIDATE: trial.candidate.revision[:12]}


def _exporter(endpoint: str) -> _Exporter | None:
    if not endpoint or os.environ.get("OTEL_METRICS_EXPORTER") == "none":
        return None
    insecure = not endpoint.startswith("https://")
    return _Exporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_SECONDS)
