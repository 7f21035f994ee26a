"""A whole service: policy, engine, server, telemetry and records, started and drained together."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from triroute.proto import router_pb2, router_pb2_grpc
from triroute.router.admin.listener import AdminListener
from triroute.router.audit.chronicle import Chronicle
from triroute.router.audit.store import RecordStore
from triroute.router.audit.writer import RecordWriter
from triroute.router.capture.content import ContentStore, Seal, content_file
from triroute.router.capture.keeper import Keeper
from triroute.router.classifier.cascade import Classifier
from triroute.router.errors import StartFailed
from triroute.router.fleet.exchange import Board, Exchange, MemoryExchange
from triroute.router.fleet.member import Member
from triroute.router.fleet.redis import RedisExchange
from triroute.router.http.health import health as health_route
from triroute.router.http.listener import HttpListener
from triroute.router.http.metrics import metrics_page
from triroute.router.openai.routes import openai_bound, openai_door
from triroute.router.pipeline import Pipeline
from triroute.router.policy import Policy
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.store.redis import RedisStore
from triroute.router.server import RouterServicer
from triroute.router.settings import Settings
from triroute.router.structured.judges import Judges
from triroute.router.supervisor import Progress, Supervisor
from triroute.router.telemetry.environment import opentelemetry_variables
from triroute.router.telemetry.metrics import Metrics
from triroute.router.telemetry.steps import Now
from triroute.router.telemetry.tracer import Telemetry
from triroute.router.ui.access import Gate
from triroute.router.ui.api import viewer

SERVICE = router_pb2.DESCRIPTOR.services_by_name["Router"].full_name

_LAST_PORT = 65_535
_LAST_WORDS_SECONDS = 0.5  # for statuses of finished steps to reach their clients


class Service:
    """`async with Service(settings) as service`: serving at `service.address` inside."""

    def __init__(self, settings: Settings, progress: Progress = lambda stage: None) -> None:
        self.settings = settings
        self.progress = progress
        self.address = settings.listen
        self.keeper = PolicyKeeper(settings)
        self.records = RecordStore(settings.records)
        self.draining = False

    async def __aenter__(self) -> Service:
        """Start. Raises StartFailed."""
        size = self.settings.message_bytes
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", size),
                ("grpc.max_metadata_size", 16384),
            ]
        )
        self._started = False
        self.address = self._bind()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            seal = Seal.of(self.settings.capture_key)
            self.classifier = Classifier.load(self.settings.classifier, self.settings.encoder)
            with opentelemetry_variables():
                telemetry = Telemetry(self.settings.otlp_endpoint)
            stack.push_async_callback(asyncio.to_thread, telemetry.close)
            writer = RecordWriter(self.settings.records, self.settings.audit_key)
            stack.push_async_callback(asyncio.to_thread, writer.close)
            chronicle = Chronicle(writer, self.settings)
            stack.callback(chronicle.stopped)
            self.supervisor = Supervisor(self.settings)
            self.supervisor.on_serving = lambda: chronicle.engine_started(self.supervisor)
            stack.push_async_callback(self.supervisor.close)
            port = self.address.rpartition(":")[2]
            self.keeper.follower.replica = self.settings.replica or f"{socket.gethostname()}:{port}"
            self.admin = AdminListener(self.keeper, int(port))
            self.admin.bind()
            stack.push_async_callback(self.admin.stop)
            self.http = HttpListener(self.settings.http, int(port))
            self.http.bind()
            stack.push_async_callback(self.http.stop)
            await self.supervisor.start(self.progress)
            await stack.enter_async_context(self.keeper)
            with opentelemetry_variables():
                metrics = Metrics(self.settings.otlp_endpoint, self.keeper.live)
            stack.push_async_callback(asyncio.to_thread, metrics.close)
            member = await stack.enter_async_context(self._member())
            store = ContentStore(content_file(self.settings.records), seal)
            content = await stack.enter_async_context(Keeper(store, self.settings.content_days, chronicle.purging))
            judges = await stack.enter_async_context(Judges())
            live, engine = self.keeper.live, self.supervisor
            steps, classifier = metrics.steps, self.classifier
            self.pipeline = Pipeline(
                self.settings, live, engine, telemetry, chronicle, content, member, steps, classifier, judges
            )
            metrics.steps.now = lambda: Now(
                engine.client.load,
                engine.restarts,
                writer.lost,
                (live.policy.name, live.policy.revision),
                telemetry.dropped,
            )
            metrics.watch = self.pipeline.watch
            stack.push_async_callback(self.pipeline.settle)
            await self._serve()
            await self.admin.start()
            gate = Gate.of(self.http.address, self.settings.http_token)
            pages = viewer(self.records, gate, lambda: len(self.pipeline.running))
            about = [health_route(lambda: not self.draining), metrics_page(metrics.registry)]
            doors = openai_door(self.pipeline, gate, lambda: self.draining)
            bound = openai_bound(gate, self.settings.message_bytes)
            await self.http.start([*about, *pages, *doors], [bound], self.settings.most_in_flight)
            stack.push_async_callback(self.http.stop)
            stack.push_async_callback(self._stop)
            chronicle.started(self.address, self.policy.revision)
            self.keeper.follower.on_change = chronicle.policy_changed
            self._stack = stack.pop_all()
        return self

    @property
    def policy(self) -> Policy:
        """The active one."""
        return self.keeper.live.policy

    async def drain(self) -> None:
        """Take no new calls; let running steps finish, up to `drain_seconds`. Health watchers are not waited for."""
        self.draining = True
        await self._health.enter_graceful_shutdown()
        stopped = asyncio.create_task(self._server.stop(self.settings.drain_seconds))
        with suppress(TimeoutError):  # steps that came by HTTP hold up no gRPC server
            await asyncio.wait_for(self.pipeline.idle.wait(), self.settings.drain_seconds)
        await self._server.stop(_LAST_WORDS_SECONDS)
        await stopped

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._health.enter_graceful_shutdown()
        await self._stack.aclose()

    def _member(self) -> Member:
        store, engine = self.keeper.store, self.supervisor.client
        exchange: Exchange = MemoryExchange(Board())
        if isinstance(store, RedisStore):
            exchange = RedisExchange(store.line, self.settings.fleet)
        return Member(exchange, self.keeper.live, lambda: engine.load, self.keeper.follower.replica)

    def _bind(self) -> str:
        host, _, port = self.settings.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > _LAST_PORT:
            raise StartFailed(
                f"--listen {self.settings.listen!r} is no address; write HOST:PORT, PORT 0 for a free one"
            )
        try:
            bound = self._server.add_insecure_port(self.settings.listen)
        except RuntimeError:
            bound = 0
        if not bound:
            raise StartFailed(
                f"can't listen on {self.settings.listen}: the port is taken or not allowed; "
                "stop the other service, or choose another with --listen"
            )
        return f"{host}:{bound}"

    async def _serve(self) -> None:
        router_pb2_grpc.add_RouterServicer_to_server(RouterServicer(self.pipeline, self.records), self._server)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        await self._server.start()
        self._started = True
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def _stop(self) -> None:
        """Stop at once. gRPC gives a port back only when the server has been started."""
        if not self._started:
            await self._server.start()
        await self._server.stop(0)
