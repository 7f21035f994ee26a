"""`python -m triroute.engine.server`: one engine behind a Unix socket."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from pythonjsonlogger.json import JsonFormatter

from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import CheckpointError
from triroute.engine.server.servicer import EngineServicer
from triroute.proto import engine_pb2_grpc

_MESSAGE_BYTES = 64 * 2**20


def main() -> int:
    """Load, serve, stop. 2 when the checkpoint or its adapter can't be loaded."""
    options = _parse()
    _log(options.log_level, options.log_format == "json")
    config = EngineConfig(threads=options.threads, cache_mb=options.cache_mb)
    try:
        none = options.adapter == Path("none")
        engine = Engine.load(options.checkpoint, config, None if none else options.adapter, adapted=not none)
    except CheckpointError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    asyncio.run(_serve(engine, options.socket, options.parent_pipe))
    return 0


async def _serve(engine: Engine, socket: Path, parent_pipe: bool) -> None:
    limits = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
    server = grpc.aio.server(options=limits)
    engine_pb2_grpc.add_EngineServicer_to_server(EngineServicer(engine), server)
    checks = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if parent_pipe:
        loop.add_reader(sys.stdin.fileno(), lambda: _at_end(stop))
    await stop.wait()
    await checks.enter_graceful_shutdown()
    await server.stop(grace=0)
    engine.tokenizer.trials.close()
    await asyncio.to_thread(engine.close)


def _at_end(stop: asyncio.Event) -> None:
    """The parent never writes: readable means that it is gone."""
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _log(level: str, as_json: bool) -> None:
    """On stderr. As JSON, a traceback stays in one line with its message."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    if as_json:
        renamed = {"levelname": "level", "name": "logger", "exc_info": "exception"}
        handler.setFormatter(JsonFormatter(["levelname", "name", "message"], rename_fields=renamed))
    logging.basicConfig(level=level, handlers=[handler])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m triroute.engine.server", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--checkpoint", type=Path, help="GGUF file; the embedded model when absent")
    parser.add_argument("--adapter", type=Path, help="draft adapter; `none` for none, the one that ships when absent")
    parser.add_argument("--threads", type=int, help="threads of a pass; one for each core when absent")
    parser.add_argument("--cache-mb", type=int, default=EngineConfig().cache_mb, help="KV cache, MiB")
    parser.add_argument("--parent-pipe", action="store_true", help="stop when stdin closes")
    parser.add_argument("--log-format", default="text", choices=["text", "json"], help="how to write to stderr")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
