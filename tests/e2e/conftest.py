"""A real service: router, engine process, records, OTLP receiver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from triroute.proto import router_pb2_grpc
from triroute.router.service import Service
from triroute.router.settings import Settings


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector's trace service."""

    spans: list[trace_pb2.Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    address: str = ""

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


class MetricsReceiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """The same collector's metrics service. Without it, each refused export would move Python's shared `random`."""

    def Export(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    servicer = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(MetricsReceiver(), server)
    servicer.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(0).wait()


class Running:
    """A service on a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: futures.Future[Service] = futures.Future()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.service = self._ready.result(timeout=120)
        self.channel = grpc.insecure_channel(self.service.address)
        self.stub = router_pb2_grpc.RouterStub(self.channel)

    @property
    def engine_pid(self) -> int:
        pid = self.service.supervisor.pid
        assert pid is not None
        return pid

    def close(self) -> None:
        self.channel.close()
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            async with Service(self.settings) as service:
                self._ready.set_result(service)
                await self._stop.wait()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)


@pytest.fixture(scope="session")
def running(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    records = tmp_path_factory.mktemp("records") / "records.sqlite"
    service = Running(Settings(listen="127.0.0.1:0", records=records, cache_mb=64, otlp_endpoint=receiver.address))
    yield service
    service.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("other")
    return Settings(listen="127.0.0.1:0", records=folder / "records.sqlite", cache_mb=64)
