"""Metrics of policies, as a collector gets them."""

from __future__ import annotations

import socket
import threading
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.trial import Candidate
from triroute.router.telemetry import names
from triroute.router.telemetry.metrics import Metrics
from triroute.router.types import Load, Request, Step, StepKind

from ..policy.policies import policy


def values(reader: InMemoryMetricReader) -> dict[str, dict[tuple[Any, ...], float]]:
    """By name, and by the values of the attributes in the order of their names."""
    data = reader.get_metrics_data()
    found: dict[str, dict[tuple[Any, ...], float]] = {}
    for resource in data.resource_metrics if data else ():
        for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
            for point in metric.data.data_points:
                attributes = dict(point.attributes or {})
                key = tuple(attributes[name] for name in sorted(attributes) if name != "candidate")
                found.setdefault(metric.name, {})[key] = point.value  # type: ignore[union-attr]
    return found


def test_everything_counted_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    live, reader = ActivePolicy(policy("first")), InMemoryMetricReader()
    counted = Metrics("", live, [reader])
    assert (values(reader)[names.SWAPS], values(reader)[names.REFUSED]) == ({(): 0}, {(): 0})
    live.swap(policy("second"), "a test")
    live.refuse("a policy", "broken")
    candidate = Candidate(policy("third").revision, 50)
    live.put_on_trial(candidate, policy("third"), "a test")
    for number in range(40):
        turn = live.turn(Request(text="x"), str(number))
        turn.decide(Step(StepKind.CODE, 1.0), Load())
        turn.end(number % 4 == 0, 8.0)
    seen = values(reader)
    assert (seen[names.SWAPS], seen[names.REFUSED]) == ({(): 1}, {(): 1})
    assert seen[names.CANARY_PERCENT] == {(): 50}
    assert seen[names.CANARY_STOPPED] == {(): 0}
    pairs = seen[names.SHADOW_STEPS]
    assert set(pairs) == {(True, "only-third", "only-second"), (True, "only-second", "only-third")}
    assert sum(pairs.values()) == 40
    steps = seen[names.CANARY_STEPS]
    assert (steps["canary", "failed"] + steps["stable", "failed"], sum(steps.values())) == (10, 40)
    assert seen[names.CANARY_TIME]["canary", 0.5] == pytest.approx(0.008, rel=0.1)
    assert seen[names.SHADOW_PROBLEMS] == {("failed",): 0, ("slow",): 0, ("skipped",): 0}
    counted.close()


class Receiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """An OTLP collector's metrics service."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def Export(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        scopes = [scope for resource in request.resource_metrics for scope in resource.scope_metrics]
        self.names |= {metric.name for scope in scopes for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


def test_collector_gets_them_at_the_end_at_the_latest() -> None:
    receiver, server = Receiver(), grpc.server(futures.ThreadPoolExecutor(1))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    Metrics(f"http://127.0.0.1:{port}", ActivePolicy(policy("first"))).close()
    server.stop(0).wait()
    assert receiver.names == {
        *(
            names.SWAPS,
            names.REFUSED,
            names.RUNNING,
            names.WAITING,
            names.CACHE,
            names.INFO,
            names.RESTARTS,
            names.LOST,
        ),
        names.DROPPED,
    }


def test_collector_of_spans_alone_is_told_of_quietly(caplog: pytest.LogCaptureFixture) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with caplog.at_level("INFO"):
        Metrics(f"http://127.0.0.1:{port}", ActivePolicy(policy("first"))).close()
    server.stop(0).wait()
    assert [entry.message for entry in caplog.records if entry.name == "triroute.metrics"] == [
        "the collector takes no metrics; requests go on without"
    ]
    assert not [entry for entry in caplog.records if entry.levelname in ("WARNING", "ERROR")]


def test_what_steps_turned_out_to_be(caplog: pytest.LogCaptureFixture) -> None:
    reader = InMemoryMetricReader()
    counted = Metrics("", ActivePolicy(policy("first")), [reader])
    for number in range(200):
        counted.watch.add(Step(StepKind.CODE, 0.95), StepKind.PROSE if number % 2 else StepKind.CODE, "crewai")
    counted.watch.add(Step(StepKind.UNKNOWN, 0.3), StepKind.PROSE, "other")
    seen = values(reader)
    assert seen[names.CLASSIFIED] == {
        ("crewai", "code", "code"): 100,
        ("crewai", "prose", "code"): 100,
        ("other", "prose", "unknown"): 1,
    }
    assert seen[names.CLAIMED] == {(1.0, "crewai", False): 100, (1.0, "crewai", True): 100}
    assert seen[names.DRIFTING] == {("crewai",): 1}
    assert seen[names.DRIFT]["crewai",] >= 10_000
    assert [record.message for record in caplog.records if "crewai" in record.message] == [caplog.records[-1].message]
    counted.close()


def test_nothing_goes_on_behind_a_closed_service() -> None:
    """Attempts to export would move Python's shared randomness, which other parts of a program may have seeded."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        counted = Metrics(f"http://127.0.0.1:{hanging.getsockname()[1]}", ActivePolicy(policy("first")))
        counted.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "triroute-metrics"]
