"""The life of a step, in one function: classify, decide, stream, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.audit.chronicle import Chronicle
from triroute.router.audit.writer import unavailable
from triroute.router.capture.content import Captured
from triroute.router.capture.keeper import Keeper
from triroute.router.classifier.cascade import Classifier
from triroute.router.classifier.watch import Watch
from triroute.router.convert.checks import schemas_in
from triroute.router.convert.decision import from_decision, from_shadow
from triroute.router.convert.engine import to_engine
from triroute.router.convert.request import to_request
from triroute.router.convert.words import STEPS
from triroute.router.engine_client import EngineLost
from triroute.router.errors import (
    AuditUnavailable,
    EngineUnavailable,
    InvalidRequest,
    Overloaded,
    ServiceFailed,
    TrirouteError,
)
from triroute.router.fleet.member import Member
from triroute.router.policy.live import ActivePolicy
from triroute.router.run import CANCELLED, Run
from triroute.router.settings import Settings
from triroute.router.structured.attempt import Attempt
from triroute.router.structured.check import Checked, Written, check, is_checked, judged
from triroute.router.structured.judges import Judges
from triroute.router.supervisor import Supervisor
from triroute.router.telemetry import logs
from triroute.router.telemetry.entry import Entry
from triroute.router.telemetry.steps import StepMetrics
from triroute.router.telemetry.tracer import Telemetry, carried, span_id, trace_id
from triroute.router.types import Capture, Request, Step, StepKind

log = logging.getLogger("triroute.pipeline")


class Pipeline:
    """Everything that a step passes through. One for the service."""

    def __init__(
        self,
        settings: Settings,
        live: ActivePolicy,
        supervisor: Supervisor,
        telemetry: Telemetry,
        chronicle: Chronicle,
        content: Keeper,
        member: Member,
        metrics: StepMetrics,
        classifier: Classifier,
        judges: Judges,
    ) -> None:
        self.settings = settings
        self.live = live
        self.supervisor = supervisor
        self.engine = supervisor.client
        self.telemetry = telemetry
        self.chronicle = chronicle
        self.records = chronicle.records
        self.content = content
        self.metrics = metrics
        self.member = member
        self.running: dict[str, Run] = {}
        self.idle = asyncio.Event()
        self.idle.set()
        self.classifier = classifier
        self.judges = judges
        self.watch = Watch()
        self._reading = 0  # requests that are not accepted or refused yet
        self._aborting: set[str] = set()
        self._recording: set[asyncio.Task[None]] = set()

    async def generate(
        self, message: router_pb2.GenerateRequest, entry: Entry
    ) -> AsyncGenerator[router_pb2.GenerateEvent, None]:
        """One decision, deltas, one finish. Raises TrirouteError; leaving early ends the work in the engine."""
        run = await self._accept(message)
        server = self.telemetry.begin(run, entry)
        run.carried = carried(server)
        logs.about(logs.About(run.request_id, trace_id(server), span_id(server)))
        try:
            await self._decide(run, trace_id(server))
            if run.is_required and self.records.broken:
                raise unavailable(self.records.broken)
            yield router_pb2.GenerateEvent(decision=run.decided)
            async with aclosing(self._decode(run)) as events:
                async for event in events:
                    if run.is_required and event.HasField("finish"):
                        await self._secure(run)
                    yield event
        except TrirouteError as error:
            run.error = f"{error.reason}: {error.message if run.captures is Capture.CONTENT else error.unquoted}"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            run.error = f"{CANCELLED}: the caller left, or its deadline passed"
            raise
        except Exception as error:
            log.exception("request %s failed by a bug of ours", run.request_id)
            run.error = f"INTERNAL: {type(error).__name__}"
            raise ServiceFailed.on(run.request_id) from error
        finally:
            run.ended_ns = time.time_ns()
            self._leave(run)
            self._compare(run)
            self.telemetry.end(run, entry, server, self.model, self.chronicle.words)
            self.metrics.count(run, server, self.model)
            logs.step_ended(run)
            if not run.recorded:
                self._record(run)

    async def decide(self, message: router_pb2.GenerateRequest) -> router_pb2.Decision:
        """How a request would be decoded. Raises TrirouteError."""
        logs.about(logs.About())
        request = await self._read(message)
        decision = self.live.decide(request, await self._classified(request), self.member.load(), dry=True)
        return from_decision(decision, "", "")

    async def abort(self, request_id: str) -> bool:
        """End a running step, wherever it is on its way. False where it is not running."""
        if request_id not in self.running:
            return False
        self._aborting.add(request_id)
        await self.engine.abort(request_id)
        return True

    async def settle(self) -> None:
        """Wait until every record of an ended step is on its way to the store."""
        await asyncio.gather(*self._recording)

    @property
    def model(self) -> str:
        return self.supervisor.description.model

    async def _accept(self, message: router_pb2.GenerateRequest) -> Run:
        count = len(self.running) + self._reading
        if count >= self.settings.most_in_flight:
            raise Overloaded(f"{count} steps are running; try again", retry_ms=250)
        self._reading += 1
        self.idle.clear()
        try:
            request = await self._read(message)
            run = Run(message, request, grant=self.member.rates.admit(self.live.policy, request))
            self.running[run.request_id] = run
        finally:
            self._reading -= 1
            self._rest()
        return run

    async def _read(self, message: router_pb2.GenerateRequest) -> Request:
        """Its schemas are looked at beside the service. Raises TrirouteError."""
        problems = await self.judges.look(schemas_in(message))
        return to_request(message, problems.__getitem__)

    def _rest(self) -> None:
        if not self.running and not self._reading:
            self.idle.set()

    def _leave(self, run: Run) -> None:
        del self.running[run.request_id]
        if run.grant is not None:
            self.member.rates.settle(run.grant, run.prompt_tokens + len(run.token_ids))
        self._aborting.discard(run.request_id)
        self._rest()

    async def _classified(self, request: Request) -> Step:
        """By another thread where it takes long."""
        if self.classifier.encoder is None:
            return self.classifier.classify(request)
        return await asyncio.to_thread(self.classifier.classify, request)

    async def _decide(self, run: Run, trace: str) -> None:
        run.step, run.load = await self._classified(run.request), self.member.load()
        run.turn = self.live.turn(run.request, run.request_id)
        run.decision = run.turn.decide(run.step, run.load)
        run.load = run.decision.load
        run.decided = from_decision(run.decision, run.request_id, trace)
        run.attempt = Attempt.first(run.decision, run.request)
        run.decided_ns = time.time_ns()

    def _compare(self, run: Run) -> None:
        """With what the policy that did not decide would have done, and how steps go that it decides."""
        told = run.turn.end(run.failed, run.milliseconds_a_token) if run.turn is not None else None
        run.turn = None
        if told is not None:
            run.shadow = from_shadow(told)

    async def _decode(self, run: Run) -> AsyncGenerator[router_pb2.GenerateEvent, None]:
        """The output and the finish. Output that the policy lets be written again waits until it is right."""
        while True:
            finish = engine_pb2.Finish()
            async with aclosing(self._events(run)) as events:
                async for event in events:
                    match event.WhichOneof("event"):
                        case "started":
                            warning = await self._started(run, event.started)
                            if warning is not None:
                                yield router_pb2.GenerateEvent(warning=warning)
                            continue
                        case "commit":
                            told = run.take(event.commit)
                        case _:
                            finish = event.finish
                            told = run.say(finish.text, finish.speech)
                    if run.holds:
                        run.hold(told)
                        continue
                    for one in told:
                        yield one
            checked = await self._checked(run, finish.reason)
            if not run.escalates(checked):
                break
        for one in run.held():
            yield one
        yield router_pb2.GenerateEvent(finish=run.end(finish, checked.told))

    async def _checked(self, run: Run, reason: decoding_pb2.FinishReason.ValueType) -> Checked:
        """By processes beside the service, for schemas that callers send may take any time."""
        if not is_checked(run.request):
            return Checked(router_pb2.Check())
        output = (run.request, run.text, Written(run.calls, run.broken_calls), reason)
        judge = await self.judges.judge(judged(*output))
        return await asyncio.to_thread(check, *output, judge)

    async def _started(self, run: Run, started: engine_pb2.Started) -> router_pb2.Warning | None:
        """Note it; what the caller should know before there is output."""
        run.prompt_tokens = started.prompt_tokens
        if run.request_id in self._aborting:  # asked for before the engine knew the request
            await self.engine.abort(run.request_id)
        if not started.unenforced or run.unenforced:
            return None
        run.unenforced = tuple(started.unenforced)
        return router_pb2.Warning(unenforced=run.unenforced)

    async def _events(self, run: Run) -> AsyncGenerator[engine_pb2.GenerateEvent, None]:
        """The engine's events; when it dies, those of its successor, from the last committed token on."""
        if run.attempt is None:
            raise RuntimeError("the run has not been decided")
        asked = to_engine(run.message, run.request, run.attempt, run.request_id)
        while True:
            asked.resume_ids[:] = run.token_ids
            asked.resume_characters = run.characters
            await self.supervisor.ready()
            if run.request_id in self._aborting:  # asked for while there was no engine
                aborted = engine_pb2.Finish(reason=decoding_pb2.FINISH_REASON_ABORTED)
                yield engine_pb2.GenerateEvent(finish=aborted)
                return
            try:
                async with aclosing(self.engine.generate(asked, run.carried)) as events:
                    async for event in events:
                        yield event
                return
            except EngineLost as lost:
                self.supervisor.doubt()
                run.interrupt()
                if run.resumes > self.settings.most_resumes:
                    raise EngineUnavailable(
                        f"the engine was lost {run.resumes} times under this step; try again", retry_ms=1_000
                    ) from lost
            except InvalidRequest as refused:  # a grammar may not go on from what was written without one
                if not (run.escalations and run.token_ids and refused.concerns("resume_ids")):
                    raise
                run.keep_nothing()

    async def _secure(self, run: Run) -> None:
        """Have the record on the disk before the caller hears of the end. Raises AuditUnavailable."""
        run.ended_ns = time.time_ns()
        self._compare(run)
        record = await self._recorded(run)
        run.recorded = True
        try:
            await asyncio.wrap_future(self.records.add_durably(record))
        except AuditUnavailable:
            run.recorded = False
            raise
        self._watch(run, record)

    def _record(self, run: Run) -> None:
        """Write the record once the tokens' text is known; the caller does not wait for it."""
        task = asyncio.get_running_loop().create_task(self._write(run))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _write(self, run: Run) -> None:
        try:
            record = await self._recorded(run)
        except Exception as error:  # a fault of ours, or of the engine's death: the answer stands, and the loss is told
            log.exception("the record of %s can't be made", run.request_id)
            self.records.miss(f"a record could not be made: {type(error).__name__}")
            return
        self.records.add(record)
        self._watch(run, record)

    async def _recorded(self, run: Run) -> router_pb2.Record:
        """The record; what it refers to will be written with it."""
        chronicle, text = self.chronicle, dict[int, str]()
        if not chronicle.vocabulary_sha256:
            known = run.known_tokens()
            text = await self.engine.token_text(known) if known else {}
        if run.decision is not None:
            chronicle.decided(run.decision)
        record = run.record(self.model, chronicle.engine_sha256, text)
        record.vocabulary_sha256 = chronicle.vocabulary_sha256
        if run.captures is Capture.CONTENT:
            captured = Captured(run.message, record.request_salt)
            record.captured = await self.content.keep(run.request_id, captured)
            if record.captured:
                record.ClearField("request_salt")
        return record

    def _watch(self, run: Run, record: router_pb2.Record) -> None:
        if run.step is not None:
            observed = STEPS.get(record.observed, StepKind.UNKNOWN)
            self.watch.add(run.step, observed, record.framework)
