"""The life of a step, in one function: classify, decide, stream, record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from triroute.proto import engine_pb2, router_pb2
from triroute.router import policy
from triroute.router.classifier import classify
from triroute.router.convert import from_decision, to_engine, to_request
from triroute.router.engine_client import EngineLost
from triroute.router.errors import EngineUnavailable, Overloaded, TrirouteError
from triroute.router.policy import Policy
from triroute.router.records import RecordWriter
from triroute.router.run import Run
from triroute.router.settings import Settings
from triroute.router.supervisor import Supervisor
from triroute.router.telemetry import Telemetry, trace_id


class Pipeline:
    """Everything that a step passes through. One for the service."""

    def __init__(
        self, settings: Settings, active: Policy, supervisor: Supervisor, telemetry: Telemetry, records: RecordWriter
    ) -> None:
        self.settings = settings
        self.policy = active
        self.supervisor = supervisor
        self.engine = supervisor.client
        self.telemetry = telemetry
        self.records = records
        self.running: dict[str, Run] = {}
        self._recording: set[asyncio.Task[None]] = set()

    async def generate(
        self, message: router_pb2.GenerateRequest, metadata: Mapping[str, str]
    ) -> AsyncIterator[router_pb2.GenerateEvent]:
        """One decision, deltas, one finish. Raises TrirouteError; leaving early ends the work in the engine."""
        run = self._accept(message)
        server = self.telemetry.begin(run, metadata)
        try:
            self._decide(run, trace_id(server))
            yield router_pb2.GenerateEvent(decision=run.decided)
            async for event in self._decode(run):
                yield event
        except TrirouteError as error:
            run.error = f"{error.reason}: {error.message}"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            run.error = "CANCELLED: the caller left, or its deadline passed"
            raise
        except Exception as error:
            run.error = f"INTERNAL: {error}"
            raise
        finally:
            run.ended_ns = time.time_ns()
            self.running.pop(run.request_id, None)
            self.telemetry.end(run, server, self.model)
            self._record(run)

    def decide(self, message: router_pb2.GenerateRequest) -> router_pb2.Decision:
        """How a request would be decoded. Raises TrirouteError."""
        request = to_request(message)
        decision = policy.decide(self.policy, request, classify(request), self.engine.load)
        return from_decision(decision, "", "")

    async def abort(self, request_id: str) -> bool:
        """End a running step. False where it is not running."""
        return request_id in self.running and await self.engine.abort(request_id)

    async def settle(self) -> None:
        """Wait until every record of an ended step is on its way to the store."""
        await asyncio.gather(*self._recording)

    @property
    def model(self) -> str:
        return self.supervisor.description.model

    def _accept(self, message: router_pb2.GenerateRequest) -> Run:
        if len(self.running) >= self.settings.most_in_flight:
            raise Overloaded(f"{len(self.running)} steps are running; try again", retry_ms=250)
        run = Run(message, to_request(message))
        self.running[run.request_id] = run
        return run

    def _decide(self, run: Run, trace: str) -> None:
        step = classify(run.request)
        run.decision = policy.decide(self.policy, run.request, step, self.engine.load)
        run.decided = from_decision(run.decision, run.request_id, trace)
        run.decided_ns = time.time_ns()

    async def _decode(self, run: Run) -> AsyncIterator[router_pb2.GenerateEvent]:
        async for event in self._events(run):
            match event.WhichOneof("event"):
                case "started":
                    run.prompt_tokens = event.started.prompt_tokens
                case "commit":
                    delta = run.take(event.commit)
                    if delta is not None:
                        yield router_pb2.GenerateEvent(delta=delta)
                case "finish":
                    tail = run.say(event.finish.text)
                    if tail is not None:
                        yield router_pb2.GenerateEvent(delta=tail)
                    yield router_pb2.GenerateEvent(finish=run.end(event.finish))

    async def _events(self, run: Run) -> AsyncIterator[engine_pb2.GenerateEvent]:
        """The engine's events; when it dies, those of its successor, from the last committed token on."""
        asked = to_engine(run.message, run.request, run.plan, run.request_id)
        while True:
            asked.resume_ids[:] = run.token_ids
            asked.resume_characters = run.characters
            try:
                await self.supervisor.ready()
                async for event in self.engine.generate(asked):
                    yield event
                return
            except EngineLost as lost:
                run.resumes += 1
                if run.resumes > self.settings.most_resumes:
                    raise EngineUnavailable(f"the engine died {run.resumes} times under this step") from lost
                await asyncio.sleep(0.05)

    def _record(self, run: Run) -> None:
        """Write the record once the tokens' text is known; the caller does not wait for it."""
        task = asyncio.get_running_loop().create_task(self._write(run))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _write(self, run: Run) -> None:
        known = run.known_tokens()
        text = await self.engine.token_text(known) if known else {}
        self.records.add(run.record(self.model, text))
