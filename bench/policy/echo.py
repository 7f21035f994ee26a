"""`python -m triroute.bench.policy.echo`: the least that a grpc.aio server can do. Bytes in, the same bytes out."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

METHOD = "/echo.Echo/Echo"


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # it has none when it runs
    """No stubs, no messages."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return grpc.unary_unary_rpc_method_handler(_echo)


async def _echo(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return request


async def _serve() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"address 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())
