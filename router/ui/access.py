"""Who may look: everybody on this machine where the listener is local, else who has the token."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

COOKIE = "triroute_ui"
LOCAL = ("127.0.0.1", "localhost", "::1")
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")  # as a Host header has them
_WEEK = 7 * 86_400
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<title>Triroute</title><link rel="stylesheet" href="/ui/static/app.css">'
    '<main class="gate"><h1>Triroute</h1>{}</main>'
)
_FORM = (
    '{}<form method="post" action="/ui/login"><label for="token">Token of this service</label>'
    '<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>'
    "<button>Open the viewer</button></form>"
)
_CLOSED = (
    "<p>This service listens beyond its own machine, and has no token for its viewer. Start it with"
    " <code>--http-token</code> or <code>TRIROUTE_HTTP_TOKEN</code>, or look from the machine itself with"
    " <code>--http 127.0.0.1:PORT</code>.</p>"
)

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Gate:
    """`local`: the listener's address is this machine's own. `token`: what others must show; empty for nobody."""

    local: bool
    token: str

    @classmethod
    def of(cls, address: str, token: str) -> Gate:
        return cls((urlsplit(f"//{address}").hostname or "") in LOCAL, token)

    def guard(self, answer: Answer, *, page: bool = False) -> Answer:
        """The answer for who may look; else what to do about it, as a `page` or as JSON."""

        async def guarded(request: Request) -> Response:
            return self._refusal(request, page) or await answer(request)

        return guarded

    async def login(self, request: Request) -> Response:
        """Take the token of a form, and remember that it was right."""
        given = _field(await request.body())
        if not self.token or not hmac.compare_digest(given, self._bytes):
            return HTMLResponse(_PAGE.format(_FORM.format('<p role="alert">That is another token.</p>')), 401)
        answer = RedirectResponse("/ui/", 303)
        answer.set_cookie(COOKIE, self._mark(), max_age=_WEEK, httponly=True, samesite="strict", path="/ui")
        return answer

    def refuses(self, request: Request) -> int:
        """0 for a program that may ask; else the status: 421 by another host's name, 403 without a token, 401."""
        host = re.sub(r":\d*$", "", request.headers.get("host", "")).lower()
        if self.local and host not in _LOCAL_HOSTS:  # a name that a page of somebody else has pointed here
            return 421
        if not self.token:
            return 0 if self.local else 403
        return 0 if any(hmac.compare_digest(given, self._bytes) for given in _bearer(request)) else 401

    def _refusal(self, request: Request, page: bool) -> Response | None:
        match self.refuses(request):
            case 0:
                return None
            case 421:
                return _say("ask by the address that the service names, such as 127.0.0.1", 421, page)
            case 403:
                return HTMLResponse(_PAGE.format(_CLOSED), 403) if page else _say("there is no token", 403, page)
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._mark().encode()):
            return None
        return HTMLResponse(_PAGE.format(_FORM.format("")), 401) if page else _say("show the token", 401, page)

    @property
    def _bytes(self) -> bytes:
        """The token as the environment or the command line had it."""
        return self.token.encode(errors="surrogateescape")

    def _mark(self) -> str:
        return hashlib.sha256(b"triroute viewer " + self._bytes).hexdigest()


def _say(what: str, status: int, page: bool) -> Response:
    return HTMLResponse(_PAGE.format(f"<p>{what}</p>"), status) if page else JSONResponse({"error": what}, status)


def _bearer(request: Request) -> tuple[bytes, bytes]:
    """The token of the Authorization header, empty where it has none: as sent, and for callers that write Latin-1."""
    kind, _, shown = request.headers.get("authorization", "").encode("latin-1").partition(b" ")
    given = shown.strip(b" \t") if kind.lower() == b"bearer" else b""
    return given, given.decode("latin-1").encode()


def _field(form: bytes) -> bytes:
    """The token of a form, byte by byte: it may be in any encoding."""
    fields = parse_qs(form.decode("latin-1"), encoding="latin-1")
    return fields.get("token", [""])[0].encode("latin-1")
