"""Exemplars in OpenMetrics: the trace of a step for each bucket of a histogram. The SDK's reader leaves them out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import HistogramDataPoint, MetricsData
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from triroute.router.telemetry.names import SPAN_ID, TRACE_ID

Labels = frozenset[tuple[str, str]]  # those that have a value
Key = tuple[str, Labels]  # a histogram's name in Prometheus, and the labels of one of its series
Found = dict[Key, dict[float, Exemplar]]  # by the end of the bucket


class TracedRegistry(CollectorRegistry):
    """What `reader` reads, with exemplars."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = TracedReader(scope_info_enabled=False, registry=self)

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            if family.type == "histogram":
                family.samples = [self._traced(family.name, sample) for sample in family.samples]
            yield family

    def _traced(self, family: str, sample: Sample) -> Sample:
        end = sample.labels.get("le")
        if end is None:
            return sample
        series = self.reader.exemplars.get((family, _labels(sample.labels)), {})
        return sample._replace(exemplar=series.get(float(end)))


class TracedReader(PrometheusMetricReader):
    """As its base, and remembers the exemplars of what it read last."""

    exemplars: Mapping[Key, Mapping[float, Exemplar]] = {}

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)
        found: Found = {}  # the SDK gives each exemplar to one reader alone, and there may be others
        for metric in (m for r in metrics_data.resource_metrics for s in r.scope_metrics for m in s.metrics):
            name = _plain(metric.name) + ("_seconds" if metric.unit == "s" else "")
            for point in metric.data.data_points:
                if isinstance(point, HistogramDataPoint):
                    named = {_plain(key): str(value) for key, value in (point.attributes or {}).items()}
                    key = name, _labels(named)
                    found[key] = {**self.exemplars.get(key, {}), **_by_bucket(point)}
        self.exemplars = found


def _by_bucket(point: HistogramDataPoint) -> dict[float, Exemplar]:
    ends = [*point.explicit_bounds, float("inf")]
    return {
        ends[bisect_left(point.explicit_bounds, one.value)]: Exemplar(
            {TRACE_ID: format_trace_id(one.trace_id), SPAN_ID: format_span_id(one.span_id)},
            one.value,
            one.time_unix_nano / 1e9,
        )
        for one in point.exemplars
        if one.trace_id and one.span_id
    }


def _labels(named: Mapping[str, str]) -> Labels:
    return frozenset((key, value) for key, value in named.items() if value and key != "le")


def _plain(name: str) -> str:
    return name.replace(".", "_")
