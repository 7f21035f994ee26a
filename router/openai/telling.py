"""A step on its connection: run while the caller is there, told as one completion or as a stream of chunks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from triroute.proto import router_pb2
from triroute.router.engine_client import EngineClient
from triroute.router.errors import ServiceFailed, TrirouteError
from triroute.router.openai.answer import Answer, token_ids
from triroute.router.openai.errors import Problem, problem_of, status_of
from triroute.router.openai.request import Asked
from triroute.router.pipeline import Pipeline
from triroute.router.run import CANCELLED
from triroute.router.telemetry.entry import Entry, by_http

log = logging.getLogger("triroute.openai")

STOPPING = Problem(503, "the service is stopping; ask another one, or again", "stopping", retry_ms=1_000)
_TRACE = ("traceparent", "tracestate")
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
_DONE = b"data: [DONE]\n\n"


class Telling:
    """An ASGI application that runs the step.

    A stream begins with the first event after the decision, so that what the engine refuses has a status of its own.
    """

    def __init__(self, pipeline: Pipeline, asked: Asked, request: Request) -> None:
        self._pipeline = pipeline
        self._asked = asked
        self._request = request
        self._words = _Words(pipeline.engine)
        self._headers: dict[str, str] = {}
        self._begun = self._answered = False  # a stream; an answer that is whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell all of it, or end the step where the caller leaves."""
        telling, leaving = asyncio.create_task(self._tell(send)), asyncio.create_task(_left(receive))
        stopping = False
        try:
            await asyncio.wait([telling, leaving], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the listener stops
            stopping = True
        leaving.cancel()
        telling.cancel()
        await asyncio.gather(telling, leaving, return_exceptions=True)
        if stopping and telling.cancelled():
            await self._break_off(STOPPING, send)

    async def _tell(self, send: Send) -> None:
        try:
            async with aclosing(self._pipeline.generate(self._asked.message, self._entry())) as events:
                answer = await self._answer(events, send)
        except TrirouteError as error:
            await self._break_off(problem_of(error, self._asked.named), send)
        except Exception as error:
            await self._break_off(failed(error), send)
        else:
            if self._asked.stream:
                await send({"type": "http.response.body", "body": _DONE, "more_body": False})
            else:
                await self._whole(JSONResponse(answer.whole(), headers=self._headers), send)

    async def _answer(self, events: AsyncGenerator[router_pb2.GenerateEvent, None], send: Send) -> Answer:
        decision = (await anext(events)).decision
        self._headers["x-request-id"] = decision.request_id
        answer = Answer(self._asked, decision, self._pipeline.model, self._words)
        async for event in events:
            await self._words.learn(token_ids(event))
            if not self._asked.stream:
                answer.take(event)
                continue
            await self._begin(answer, send)
            await _say(answer.piece(event), send)
        return answer

    async def _begin(self, answer: Answer, send: Send) -> None:
        if self._begun:
            return
        self._begun = True
        headers = [(name.encode(), value.encode()) for name, value in (_STREAM | self._headers).items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _say([answer.begin()], send)

    async def _break_off(self, problem: Problem, send: Send) -> None:
        """Say why; as an event, where the stream has begun."""
        if self._begun:
            await _say([problem.body()], send, more=False)
        elif not self._answered:
            await self._whole(problem.response(self._headers), send)

    async def _whole(self, response: JSONResponse, send: Send) -> None:
        self._answered = True
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": False})

    def _entry(self) -> Entry:
        headers = {name: ",".join(self._request.headers.getlist(name)) for name in _TRACE}
        scope = self._request.scope
        return by_http(scope["path"], scope["scheme"], headers, self._status, stream=self._asked.stream)

    def _status(self, reason: str) -> int:
        if self._begun or not reason:
            return 200
        return 0 if reason == CANCELLED else status_of(reason)


def failed(error: Exception) -> Problem:
    """A bug of ours; the log has it."""
    return problem_of(ServiceFailed.of(error, log))


class _Words:
    """The texts of tokens, asked of the engine once each."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine
        self._known: dict[int, str] = {}

    async def learn(self, wanted: set[int]) -> None:
        new = sorted(wanted - self._known.keys())
        if new:
            self._known |= await self._engine.token_text(new)

    def __call__(self, token: int) -> str:
        return self._known.get(token, "")


async def _say(chunks: list[dict[str, Any]], send: Send, *, more: bool = True) -> None:
    if chunks:
        body = b"".join(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n" for chunk in chunks)
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _left(receive: Receive) -> None:
    """When the caller does."""
    while (await receive())["type"] != "http.disconnect":
        pass
