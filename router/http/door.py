"""What holds for every request and every answer, whichever route is asked: bounded bodies, and the same headers."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 16_384  # bytes; the longest that a route takes is a form with a token
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


class Door:
    """Before an application: it sees bodies whole or not at all, and all answers have the headers that browsers heed.

    A body that nobody reads would otherwise be taken in to its end, by the event loop that serves steps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the caller left
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > LONGEST_BODY:
                long = f"a body has at most {LONGEST_BODY} bytes here\n"
                await PlainTextResponse(long, 413, {"connection": "close"})(scope, receive, dressed)
                return
        taken = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def whole() -> Message:
            return next(taken, None) or await receive()

        await self._app(scope, whole, dressed)
