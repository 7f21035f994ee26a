"""The viewer's routes: the page, its files, and its data as JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from triroute.router.audit.store import RecordStore
from triroute.router.errors import STATUS, TrirouteError
from triroute.router.ui.access import Gate
from triroute.router.ui.view import summary, whole

_STATIC = Path(__file__).parent / "static"
_FILES = {path.name: path for path in _STATIC.iterdir() if path.is_file()}
_LISTED, _MOST_LISTED, _LOOKED_AT = 50, 200, 2_000
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
        """The newest steps: of a `session`, `mode`, `step` kind or `rule`, before a time in ms (`before`)."""
        asked = request.query_params
        try:
            limit = min(max(int(asked.get("limit", _LISTED)), 1), _MOST_LISTED)
            before = float(asked.get("before", "inf"))
        except ValueError:
            return JSONResponse({"error": "limit and before are numbers"}, 400)
        wanted = {name: asked[name] for name in ("session", "mode", "step", "rule") if asked.get(name)}
        plain = limit if not wanted and before == float("inf") else _LOOKED_AT
        newest = await asyncio.to_thread(self._store.latest_in_brief, plain)
        told = [one for one in map(summary, newest.records) if one["at"] < before]
        told = [one for one in told if _is_wanted(one, wanted)]
        more = len(told) > limit or len(newest.records) + len(newest.damaged) == plain
        return JSONResponse({"steps": told[:limit], "more": more, "damaged": len(newest.damaged)})

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


def _is_wanted(one: dict[str, Any], wanted: dict[str, str]) -> bool:
    """A step is found by every mode that wrote of it."""
    return all(value in one["modes"] if name == "mode" else one[name] == value for name, value in wanted.items())


def _telling(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Why there is no answer, where there is none."""

    async def telling(request: Request) -> Response:
        try:
            return await answer(request)
        except TrirouteError as error:
            return JSONResponse({"error": error.message}, STATUS[type(error)][1])

    return telling


def viewer(store: RecordStore, address: str, token: str, running: Callable[[], int]) -> list[BaseRoute]:
    """The viewer's routes for a listener at an address."""
    return Viewer(store, Gate.of(address, token), running).routes()
