"""triroute.engine.v1.Engine over one `Engine`."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import grpc

from triroute.engine import identity
from triroute.engine.budget import Budget, Reach, Untried
from triroute.engine.engine import Engine
from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.grammar import Constraint
from triroute.engine.server.convert import MODES, from_costs, from_event, to_constraint, to_request
from triroute.engine.server.errors import abort
from triroute.engine.types import Event, Failed, Finished, Request, Started
from triroute.proto import engine_pb2, engine_pb2_grpc

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_LEAST_INTERVAL_MS = 20
_DEFAULT_INTERVAL_MS = 100
_COMPILERS = 32  # threads for what can be tried quickly, and as many for the rest; they mostly wait


class EngineServicer(engine_pb2_grpc.EngineServicer):
    """Parses, submits, and streams what the engine's thread reports."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stages = (
            (Reach.KEPT, None),  # also requests without a grammar: they wait for no one's
            (Reach.QUICK, ThreadPoolExecutor(_COMPILERS, "triroute-grammar")),
            (Reach.ANY, ThreadPoolExecutor(_COMPILERS, "triroute-slow-grammar")),
        )

    async def Generate(
        self, message: engine_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[engine_pb2.GenerateEvent]:
        try:
            trace = _trace_id(dict(context.invocation_metadata() or ()).get("traceparent"))
            request = await asyncio.to_thread(to_request, message, self.engine)
            constraint, unenforced = await self._constraint(message, request.prompt_ids)
            request = replace(request, trace_id=trace)
            async for event in self._events(request, constraint):
                if isinstance(event, Failed):
                    raise InvalidRequest(event.field, event.message) if event.field else EngineError(event.message)
                told = from_event(event)
                if isinstance(event, Started):
                    told.started.unenforced.extend(unenforced)
                yield told
        except EngineError as error:
            await abort(context, error)

    async def Abort(
        self, message: engine_pb2.AbortRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> engine_pb2.AbortResponse:
        return engine_pb2.AbortResponse(found=self.engine.abort(message.request_id))

    async def Describe(
        self, message: engine_pb2.DescribeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> engine_pb2.Description:
        engine = self.engine
        return engine_pb2.Description(
            model=engine.model_name,
            checkpoint_sha256=engine.checkpoint_sha256,
            context_length=engine.context_length,
            modes=sorted({mode for mode, _ in MODES}),
            variants=sorted({variant for _, variant in MODES if variant}),
            cache_tokens=engine.load_now().cache_tokens,
            version=version("triroute"),
            adapter_sha256=engine.adapter_sha256,
            end_of_turn_id=min(engine.tokenizer.end_ids),
            costs=from_costs(engine.core.costs),
            device=identity.device(),
            kernels=identity.kernels(),
            versions=identity.versions(),
        )

    async def TokenText(
        self, message: engine_pb2.TokenTextRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> engine_pb2.TokenTextResponse:
        tokenizer = self.engine.tokenizer
        if any(token >= tokenizer.vocab_size for token in message.token_ids):
            await abort(context, InvalidRequest("token_ids", f"has an id outside the {tokenizer.vocab_size} known"))
        wanted = message.token_ids or range(tokenizer.vocab_size)
        return engine_pb2.TokenTextResponse(text=[tokenizer.show(token) for token in wanted])

    async def WatchLoad(
        self, message: engine_pb2.WatchLoadRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[engine_pb2.Load]:
        interval = max(message.interval_ms or _DEFAULT_INTERVAL_MS, _LEAST_INTERVAL_MS) / 1000
        told = None
        while True:
            load = self.engine.load_now()
            if load != told:
                told = load
                yield engine_pb2.Load(
                    running=load.running,
                    waiting=load.waiting,
                    cache_tokens_used=load.cache_tokens_used,
                    cache_tokens=load.cache_tokens,
                )
            await asyncio.sleep(interval)

    async def _constraint(
        self, message: engine_pb2.GenerateRequest, prompt_ids: Sequence[int]
    ) -> tuple[Constraint | None, tuple[str, ...]]:
        """As `to_constraint`, each grammar behind none that is slower; leaving early ends the work."""
        budget, loop = Budget(), asyncio.get_running_loop()
        try:
            for reach, pool in self._stages:
                with contextlib.suppress(Untried):
                    return await loop.run_in_executor(
                        pool, budget.within, reach, to_constraint, message, prompt_ids, self.engine.tokenizer
                    )
        finally:
            budget.end()
        raise AssertionError("unreachable: nothing is out of the last stage's reach")

    async def _events(self, request: Request, constraint: Constraint | None) -> AsyncIterator[Event]:
        """Submit, then everything until the end; leaving early ends the work."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.engine.submit(request, constraint, lambda event: _post(loop, queue, event))
        try:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, (Finished, Failed)):
                    return
        finally:
            self.engine.abort(request.request_id)


def _trace_id(traceparent: str | bytes | None) -> str:
    """Of the W3C's header; empty for anything else."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return found[1] if found else ""


def _post(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Event], event: Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(queue.put_nowait, event)
