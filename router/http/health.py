"""`/healthz`: for probes that speak HTTP."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def health(ready: Callable[[], bool]) -> Route:
    """200 while the service takes steps, else 503."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse("ok\n") if ready() else PlainTextResponse("not ready\n", 503)

    return Route("/healthz", answer)
