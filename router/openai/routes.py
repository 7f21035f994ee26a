"""Routes under /v1: who may ask, for what, and what of a request is wrong before there is a step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from triroute.router.http.door import LONGEST_BODY, Bound
from triroute.router.openai import request as requests
from triroute.router.openai.errors import Problem, Refused
from triroute.router.openai.request import Asked
from triroute.router.openai.telling import STOPPING, Telling, failed
from triroute.router.pipeline import Pipeline
from triroute.router.telemetry import logs
from triroute.router.ui.access import Gate

UNDER = "/v1/"
_LONG = 262_144  # bytes of a body that another thread reads: the event loop serves steps
_CLOSED = {
    401: Problem(401, "show the service's token as api_key (Authorization: Bearer TOKEN)", "invalid_api_key"),
    403: Problem(
        *(403, "the service listens beyond its own machine and has no token; start it with --http-token", "no_token")
    ),
    421: Problem(421, "ask by the address that the service names, such as 127.0.0.1", "misdirected_request"),
}
_KNOWN = "POST /v1/chat/completions, POST /v1/completions, GET /v1/models"

Answer = Callable[[Request], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class _Entrance:
    """An ASGI application: behind the gate, for some methods, or any; what is refused gets an error object."""

    gate: Gate
    methods: tuple[str, ...]
    answer: Answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self._response(request))(scope, request.receive, send)

    async def _response(self, request: Request) -> ASGIApp:
        closed = _CLOSED.get(self.gate.refuses(request))
        if closed:
            return closed.response()
        if self.methods and request.method not in self.methods:
            why = f"{request.scope['path']} takes {self.methods[0]}, not {request.method}"
            return Problem(405, why, "method_not_allowed").response({"allow": ", ".join(self.methods)})
        logs.about(logs.About())  # from here on the request is read, and a bug's message may quote it
        try:
            return await self.answer(request)
        except Refused as refused:
            return refused.problem.response()
        except Exception as error:
            return failed(error).response()


class Doors:
    """Answers of one service."""

    def __init__(self, pipeline: Pipeline, draining: Callable[[], bool]) -> None:
        self._pipeline = pipeline
        self._draining = draining
        self._since = int(time.time())

    async def chat(self, request: Request) -> ASGIApp:
        return await self._step(request, requests.chat)

    async def text(self, request: Request) -> ASGIApp:
        return await self._step(request, requests.text)

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        self._check_model(request.path_params["wanted"])
        return JSONResponse(self._model())

    async def nothing(self, request: Request) -> Response:
        why = f"there is no {request.scope['path'][:100]} here; there are {_KNOWN}"
        raise Refused(Problem(404, why, "not_found"))

    async def _step(self, request: Request, read: Callable[[bytes], Asked]) -> ASGIApp:
        if self._draining():
            raise Refused(STOPPING)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            why = f"send the body as content-type application/json, not {kind[:100] or 'without any'}"
            raise Refused(Problem(415, why, "unsupported_media_type"))
        body = await request.body()
        asked = read(body) if len(body) <= _LONG else await asyncio.to_thread(read, body)
        self._check_model(asked.model)
        return Telling(self._pipeline, asked, request)

    def _check_model(self, wanted: str) -> None:
        """Empty is whichever there is."""
        served = self._pipeline.model
        if wanted and wanted != served:
            why = f"there is no model {wanted[:100]!r} here; {served!r} is served: name that, or none"
            raise Refused(Problem(404, why, "model_not_found", "model"))

    def _model(self) -> dict[str, Any]:
        described = self._pipeline.supervisor.description
        told = {"context_length": described.context_length}
        served = {"id": described.model, "object": "model", "created": self._since, "owned_by": "triroute"}
        return {**served, "triroute": told}


def openai_door(pipeline: Pipeline, gate: Gate, draining: Callable[[], bool]) -> list[BaseRoute]:
    """The routes."""
    doors = Doors(pipeline, draining)
    read, write = ("GET", "HEAD"), ("POST",)
    return [
        Route("/v1/chat/completions", _Entrance(gate, write, doors.chat)),
        Route("/v1/completions", _Entrance(gate, write, doors.text)),
        Route("/v1/models", _Entrance(gate, read, doors.models)),
        Route("/v1/models/{wanted:path}", _Entrance(gate, read, doors.model)),
        Route("/v1/{rest:path}", _Entrance(gate, (), doors.nothing)),
    ]


def openai_bound(gate: Gate, longest: int) -> Bound:
    """Long bodies are for who may ask."""

    def refuse(request: Request, most: int) -> Response:
        long = Problem(413, f"a body has at most {most} bytes here", "body_too_long")
        return _CLOSED.get(gate.refuses(request), long).response()

    return Bound(UNDER, lambda request: LONGEST_BODY if gate.refuses(request) else longest, refuse)
