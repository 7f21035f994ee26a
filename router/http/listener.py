"""The HTTP listener, on the service's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from triroute.router.errors import StartFailed
from triroute.router.http.door import Bound, Door

AUTO = "auto"
MOST_CONNECTIONS = 128  # beside those that steps run on
REQUEST_SECONDS = 20.0  # from its first byte to its last
_LOCAL = "127.0.0.1"
_STOP_SECONDS = 1
_LAST_PORT = 65_535


class HttpListener:
    """`bind`, `start` and `stop` go with the service. `address` is empty where settings want no listener."""

    def __init__(self, asked: str, port: int) -> None:
        """`asked` is HOST:PORT, "auto" for the port behind the service's own, `port`, or "" for no listener."""
        self.address = asked
        self.request_seconds = REQUEST_SECONDS
        self._port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def bind(self) -> None:
        """Raises StartFailed."""
        if not self.address:
            return
        self._socket = _next_to(self._port) if self.address == AUTO else _bound(self.address)
        host, port = self._socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self, routes: Sequence[BaseRoute], bounds: Sequence[Bound] = (), steps: int = 0) -> None:
        """Take requests, so many of which may be `steps`."""
        if self._socket is None:
            return
        app = Starlette(routes=list(routes))
        app.router.redirect_slashes = False  # it would lead to whatever host the caller names
        config = _Config(
            Door(app, bounds),
            http=_Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        config.most_connections, config.request_seconds = MOST_CONNECTIONS + steps, self.request_seconds
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """End requests, give the address back."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()


class _Config(uvicorn.Config):
    most_connections = MOST_CONNECTIONS
    request_seconds = REQUEST_SECONDS


class _Connection(H11Protocol):
    """Bounds headers, as h11 does; closed where there are too many, nothing comes, or a request does not come to its
    end: steps need descriptors too."""

    config: _Config
    _unfinished: asyncio.TimerHandle | None = None  # runs while a request is coming

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.config.most_connections:
            transport.close()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        coming = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if coming and self._unfinished is None:
            self._unfinished = self.loop.call_later(self.config.request_seconds, self.transport.close)
        elif not coming:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._unfinished is not None:
            self._unfinished.cancel()
        self._unfinished = None


class _Server(uvicorn.Server):
    """Leaves signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise StartFailed(f"--http {address!r} is no address; write HOST:PORT, PORT 0 for a free one, or none")
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=_family(host))
    except OSError as error:
        raise StartFailed(f"can't serve HTTP on {address}: {error}; choose another address with --http") from error


def _next_to(port: int) -> socket.socket:
    try:
        return _bound(f"{_LOCAL}:{port + 1}")
    except StartFailed:
        return _bound(f"{_LOCAL}:0")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
