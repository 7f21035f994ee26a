"""What is counted of policies and of the classifier, as OpenTelemetry metrics; `step_metrics` has what is of steps.

Everything is read when it is exported, from counts that are kept anyway: a request pays nothing for it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from triroute.router.classifier.watch import Watch
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.trial.turn import Trial
from triroute.router.step_metrics import StepMetrics
from triroute.router.telemetry import SERVICE

SWAPS, REFUSED = "triroute.policy.swaps", "triroute.policy.refused"
SHADOW_STEPS, SHADOW_PROBLEMS = "triroute.shadow.steps", "triroute.shadow.problems"
CANARY_PERCENT, CANARY_STOPPED = "triroute.canary.percent", "triroute.canary.stopped"
CANARY_STEPS, CANARY_TIME = "triroute.canary.steps", "triroute.canary.time_per_token"
CLASSIFIED, DRIFT, DRIFTING = "triroute.classifier.steps", "triroute.classifier.drift", "triroute.classifier.drifting"

log = logging.getLogger("triroute.metrics")

_EXPORT_SECONDS, _CLOSE_SECONDS = 3.0, 1.0
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
        self.registry = CollectorRegistry()
        page = PrometheusMetricReader(scope_info_enabled=False, registry=self.registry)
        every = [*readers, page, *_readers(endpoint)]
        resource = Resource.create({"service.name": SERVICE})
        self._provider = MeterProvider(every, resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("triroute")
        self.steps = StepMetrics(meter)
        for name, read, what in (
            (SWAPS, self._swaps, "Changes of the policy that decides."),
            (REFUSED, self._refused, "Policies that could not become active."),
            (SHADOW_STEPS, self._shadow, "Steps by the rule that decided and the one of the other policy."),
            (SHADOW_PROBLEMS, self._problems, "Steps that the other policy could not be compared for, or slowly."),
            (CLASSIFIED, self._classified, "Steps by what they were taken for and turned out to be."),
            (CANARY_STEPS, self._steps, "Steps of a canary and of the active policy, by outcome."),
        ):
            meter.create_observable_counter(name, [read], unit="1", description=what)
        for name, read, unit, what in (
            (CANARY_PERCENT, self._percent, "%", "Share of the keys that the candidate decides."),
            (CANARY_STOPPED, self._stopped, "1", "1 while a canary is stopped."),
            (DRIFT, self._drift, "1", "Wealth of a bet against the classifier's confidence; 10,000 is an alarm."),
            (DRIFTING, self._drifting, "1", "1 while the classifier is surer than it is right."),
            (CANARY_TIME, self._time, "s", "Time a token that a share of the steps stays under."),
        ):
            meter.create_observable_gauge(name, [read], unit=unit, description=what)

    def close(self) -> None:
        """Export what is left, within a second."""
        shutdown = threading.Thread(target=self._provider.shutdown, name="triroute-metrics", daemon=True)
        shutdown.start()
        shutdown.join(_CLOSE_SECONDS)

    def _swaps(self, options: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._live.swaps)

    def _refused(self, options: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._live.refused)

    def _classified(self, options: CallbackOptions) -> Iterator[Observation]:
        for (predicted, observed, framework), count in list(self.watch.counts.items()):
            named = {"predicted": predicted.value, "observed": observed.value, "framework": framework}
            yield Observation(count, named)

    def _drift(self, options: CallbackOptions) -> Iterator[Observation]:
        for framework, wealth in list(self.watch.drift.wealth.items()):
            yield Observation(wealth, {"framework": framework})

    def _drifting(self, options: CallbackOptions) -> Iterator[Observation]:
        for framework, drifting in list(self.watch.drift.drifting.items()):
            yield Observation(int(drifting), {"framework": framework})

    def _shadow(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            shadow = trial.judge.own.shadow
            for agrees, counts in ((True, shadow.agree), (False, shadow.differ)):
                for (rule, other), count in list(counts.items()):
                    yield Observation(count, {**named, "rule": rule, "other_rule": other, "agrees": agrees})

    def _problems(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for kind in ("failed", "slow", "skipped"):
                yield Observation(getattr(trial.judge.own.shadow, kind), {**named, "kind": kind})

    def _steps(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for name in ("stable", "canary"):
                arm = getattr(trial.judge.own, name)
                yield Observation(arm.failed, {**named, "arm": name, "outcome": "failed"})
                yield Observation(arm.steps - arm.failed, {**named, "arm": name, "outcome": "ok"})

    def _percent(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            yield Observation(trial.candidate.percent, named)

    def _stopped(self, options: CallbackOptions) -> Iterator[Observation]:
        candidate = self._live.candidate
        if candidate is not None:
            yield Observation(int(candidate.stopped), {"candidate": candidate.revision[:12]})

    def _time(self, options: CallbackOptions) -> Iterator[Observation]:
        for trial, named in self._trials():
            for name in ("stable", "canary"):
                for share in _QUANTILES:
                    seconds = getattr(trial.judge.own, name).quantile(share) / 1000
                    yield Observation(seconds, {**named, "arm": name, "quantile": share})

    def _trials(self) -> Iterator[tuple[Trial, dict[str, str]]]:
        """The running one, if there is one, with what names it."""
        trial = self._live.trial
        if trial is not None:
            yield trial, {"candidate": trial.candidate.revision[:12]}


def _readers(endpoint: str) -> list[MetricReader]:
    if not endpoint or os.environ.get("OTEL_METRICS_EXPORTER") == "none":
        return []
    insecure = not endpoint.startswith("https://")
    return [PeriodicExportingMetricReader(_Exporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_SECONDS))]
