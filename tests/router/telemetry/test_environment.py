"""OpenTelemetry's own variables."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from triroute.router.errors import StartFailed
from triroute.router.policy.live import ActivePolicy
from triroute.router.telemetry.environment import opentelemetry_variables
from triroute.router.telemetry.metrics import Metrics
from triroute.router.telemetry.tracer import Telemetry, span_id, trace_id

from ..policy.policies import policy

ENDPOINT = "http://127.0.0.1:1"


@pytest.mark.parametrize("most", ["1", "100", "511", "4096"])
def test_any_length_of_the_queue_will_do(monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", most)
    Telemetry(ENDPOINT).close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_METRIC_EXPORT_INTERVAL", "-5"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "bad"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "abc"),
    ],
)
def test_what_can_not_be_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartFailed, match=r"OTEL_\* variables"), opentelemetry_variables():
        _start()


def _start() -> None:
    Telemetry(ENDPOINT).close()
    Metrics(ENDPOINT, ActivePolicy(policy("first"))).close()


def test_turned_off_there_are_no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    span = Telemetry("")._tracer.start_span("step")
    assert (trace_id(span), span_id(span)) == ("", "")


def test_a_callers_words_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    sent = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "secret words"}
    with caplog.at_level(logging.DEBUG, "triroute"):
        TraceContextTextMapPropagator().extract(sent)
    assert "secret" not in caplog.text
