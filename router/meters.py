"""Metrics over OTLP: the only module that knows the SDK's meters. Labels are from closed sets."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from triroute.router.classifier.drift import Drift
from triroute.router.types import StepKind

STEPS, WEALTH, DRIFTING = "triroute.classifier.steps", "triroute.classifier.drift", "triroute.classifier.drifting"
PREDICTED, OBSERVED, FRAMEWORK = "triroute.step.kind", "triroute.step.observed", "triroute.framework"
_INTERVAL_MS, _EXPORT_SECONDS = 15_000, 2.0

log = logging.getLogger("triroute.classifier")


class Meters:
    """Counts classified steps, and watches the classifier for drift. With no endpoint, nothing is exported."""

    def __init__(self, service: str, endpoint: str, readers: Iterable[MetricReader] = ()) -> None:
        self.drift = Drift()
        readers = [*readers]
        if endpoint:
            insecure = not endpoint.startswith("https://")
            exporter = OTLPMetricExporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_SECONDS)
            readers.append(PeriodicExportingMetricReader(exporter, export_interval_millis=_INTERVAL_MS))
        resource = Resource.create({"service.name": service})
        self.provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        meter = self.provider.get_meter("triroute")
        self._steps = meter.create_counter(STEPS, "{step}", "Steps by what they were taken for and turned out to be")
        meter.create_observable_gauge(
            WEALTH, [partial(_observe, self.drift.wealth)], "1", "Wealth of a bet against the classifier's confidence"
        )
        meter.create_observable_gauge(
            DRIFTING, [partial(_observe, self.drift.drifting)], "1", "1 while the classifier is surer than it is right"
        )

    def classified(self, predicted: StepKind, confidence: float, observed: StepKind, framework: str) -> None:
        """Note a finished step."""
        self._steps.add(1, {PREDICTED: predicted.value, OBSERVED: observed.value, FRAMEWORK: framework})
        if predicted is StepKind.UNKNOWN or observed is StepKind.UNKNOWN:
            return
        if self.drift.add(framework, confidence, predicted is observed):
            if self.drift.drifting[framework]:
                log.warning(
                    "steps of %s are not what the classifier takes them for as often as it says; see `triroute classify"
                    " report`, and train it on your own traffic, or let callers hint",
                    framework,
                )
            else:
                log.warning("the classifier is as often right about steps of %s as it says again", framework)

    def close(self) -> None:
        """Export what is left."""
        self.provider.shutdown(timeout_millis=_EXPORT_SECONDS * 1000)


def _observe(values: dict[str, float] | dict[str, bool], options: CallbackOptions) -> list[Observation]:
    return [Observation(float(value), {FRAMEWORK: framework}) for framework, value in list(values.items())]
