"""The viewer's routes: the page, its files, and its data as JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from triroute.router.audit.store import RecordStore
from triroute.router.errors import STATUS, TrirouteError
from triroute.router.ui.access import Gate
from triroute.router.ui.page import look_back
from triroute.router.ui.view import summary, whole

_STATIC = Path(__file__).parent / "static"
_FILES = {path.name: path for path in _STATIC.iterdir() if path.is_file()}
_LISTED, _MOST_LISTED = 50, 200
_LAST_ENTRY = 2**63 - 1
_MIX = 100  # steps that the live mix looks at


class Viewer:
    """Reads from the store; `running` says how many steps run at the moment."""

    def __init__(self, store: RecordStore, gate: Gate, running: Callable[[], int]) -> None:
        self._store = store
        self._gate = gate
        self._running = running

    def routes(self) -> list[BaseRoute]:
        """All of them, behind the gate; the style sheet and the form of the gate itself before it."""
        guard = self._gate.guard
        return [
            Route("/", lambda request: RedirectResponse("/ui/")),
            Route("/ui", lambda request: RedirectResponse("/ui/")),
            Route("/ui/", guard(self._page, page=True)),
            Route("/ui/login", self._gate.login, methods=["POST"]),
            Route("/ui/static/{name}", self._file),
            Route("/ui/api/steps", guard(_telling(self._steps))),
            Route("/ui/api/steps/{wanted}", guard(_telling(self._step))),
            Route("/ui/api/live", guard(_telling(self._live))),
        ]

    async def _page(self, request: Request) -> Response:
        return FileResponse(_FILES["index.html"])

    async def _file(self, request: Request) -> Response:
        path = _FILES.get(request.path_params["name"])
        if path is None or path.suffix == ".html":
            return JSONResponse({"error": "there is no such file"}, 404)
        return FileResponse(path, headers={"cache-control": "no-cache"})

    async def _steps(self, request: Request) -> Response:
        """The newest steps, of those before an entry (`before`): of a `mode`, `step` kind or `rule`, or of a `session`.

        A session is of a `tenant`, or of none. One request looks at so many records and no more; `next` is where to
        look further, also where none was as wanted so far.
        """
        asked = request.query_params
        try:
            limit = min(max(int(asked.get("limit", _LISTED)), 1), _MOST_LISTED)
            before = int(asked["before"]) if "before" in asked else None
        except ValueError:
            return JSONResponse({"error": "limit and before are whole numbers"}, 400)
        if before is not None and not 0 <= before <= _LAST_ENTRY:
            return JSONResponse({"error": "before is the number of an entry"}, 400)
        wanted = {name: asked[name] for name in ("session", "mode", "step", "rule") if asked.get(name)}
        if "session" in wanted:
            wanted["tenant"] = asked.get("tenant", "")
        page = await asyncio.to_thread(look_back, self._store, before, limit, wanted)
        return JSONResponse(asdict(page) | {"more": page.next is not None})

    async def _step(self, request: Request) -> Response:
        record = await asyncio.to_thread(self._store.find, request.path_params["wanted"])
        return JSONResponse(await asyncio.to_thread(whole, record))

    async def _live(self, request: Request) -> Response:
        """What runs, and how the tokens of the newest steps were decoded."""
        mix: Counter[str] = Counter()
        newest = await asyncio.to_thread(self._store.latest_in_brief, _MIX)
        for one in map(summary, newest.records):
            mix.update(one["modes"])
        told = {"running": self._running(), "steps": len(newest.records), "mix": dict(mix.most_common())}
        return JSONResponse(told | {"damaged": len(newest.damaged)})


def _telling(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Why there is no answer, where there is none."""

    async def telling(request: Request) -> Response:
        try:
            return await answer(request)
        except TrirouteError as error:
            return JSONResponse({"error": error.message}, STATUS[type(error)][1])

    return telling


def viewer(store: RecordStore, gate: Gate, running: Callable[[], int]) -> list[BaseRoute]:
    """The viewer's routes, behind a gate."""
    return Viewer(store, gate, running).routes()
