"""What holds for every request and every answer, whichever route is asked: bounded bodies, and the same headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 16_384  # bytes; the longest that the viewer takes is a form with a token
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """For paths that begin with `under`: the `longest` body of a request, bytes, and how a longer one is refused."""

    under: str
    longest: Callable[[Request], int]
    refuse: Callable[[Request, int], Response]


_ANYWHERE = Bound(
    "",
    lambda request: LONGEST_BODY,
    lambda request, most: PlainTextResponse(f"a body has at most {most} bytes here\n", 413),
)


class Door:
    """Before an application: it sees bodies whole or not at all, and all answers have the headers that browsers heed.

    A body that nobody reads would otherwise be taken in to its end, by the event loop that serves steps.
    """

    def __init__(self, app: ASGIApp, bounds: Sequence[Bound] = ()) -> None:
        self._app = app
        self._bounds = (*bounds, _ANYWHERE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        bound = next(one for one in self._bounds if scope["path"].startswith(one.under))
        longest = bound.longest(request)
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the caller left
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > longest:
                refusal = bound.refuse(request, longest)
                refusal.headers["connection"] = "close"
                await refusal(scope, receive, dressed)
                return
        taken = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

        async def whole() -> Message:
            return next(taken, None) or await receive()

        await self._app(scope, whole, dressed)
