"""PolicyAdmin's own listener: callers of Router can't reach it."""

from __future__ import annotations

import socket
from pathlib import Path

import grpc
from grpc_reflection.v1alpha import reflection

from triroute.proto import policy_admin_pb2, policy_admin_pb2_grpc
from triroute.router.admin.servicer import PolicyAdminServicer
from triroute.router.errors import StartFailed
from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.settings import admin_socket

SERVICE = policy_admin_pb2.DESCRIPTOR.services_by_name["PolicyAdmin"].full_name

_LONGEST_PATH = 100  # bytes; the system's limit for a Unix socket is 107
_UNIX = "unix:"


class AdminListener:
    """`bind`, `start` and `stop` go with the service. `address` is empty where settings want no listener."""

    def __init__(self, keeper: PolicyKeeper, port: int) -> None:
        """`port` is the service's: it names the default socket."""
        self.keeper = keeper
        asked = keeper.settings.admin
        self.address = f"{_UNIX}{admin_socket(port)}" if asked == "auto" else asked
        self._path = Path(self.address.removeprefix(_UNIX)) if self.address.startswith(_UNIX) else None
        self._server: grpc.aio.Server | None = None

    def bind(self) -> None:
        """Raises StartFailed."""
        if not self.address:
            return
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        policy_admin_pb2_grpc.add_PolicyAdminServicer_to_server(PolicyAdminServicer(self.keeper), server)
        reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)
        if self._path is not None:
            _make_room(self._path)
        try:
            port = server.add_insecure_port(self.address)
        except RuntimeError:
            port = 0
        if not port:
            raise StartFailed(f"PolicyAdmin can't listen on {self.address}; choose HOST:PORT or unix:PATH with --admin")
        if self._path is not None:
            self._path.chmod(0o600)
        else:
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self._server = server

    async def start(self) -> None:
        """Take calls."""
        if self._server is not None:
            await self._server.start()

    async def stop(self) -> None:
        """End calls, give the address back."""
        if self._server is None:
            return
        await self._server.start()  # gRPC gives an address back only when the server has been started
        await self._server.stop(0)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _make_room(path: Path) -> None:
    """A folder that only its owner can enter, and no dead socket in it. Raises StartFailed."""
    if len(str(path).encode()) > _LONGEST_PATH:
        raise StartFailed(f"{path} is too long for a Unix socket; choose a shorter one with --admin unix:PATH")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with socket.socket(socket.AF_UNIX) as probe:
            answered = path.exists() and probe.connect_ex(str(path)) == 0
    except OSError as error:
        raise StartFailed(f"PolicyAdmin can't listen on {path}: {error.strerror}; choose another --admin") from error
    if answered:
        raise StartFailed(f"another service has {path}; stop it, or choose another --admin")
