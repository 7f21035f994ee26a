"""What records and spans of every step cost: tokens a second with both, against the same service without."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from triroute.bench.audit.sizes import ANY_MODE
from triroute.bench.policy.processes import router
from triroute.bench.policy.result import Result
from triroute.proto import router_pb2
from triroute.router.client import Client
from triroute.router.prompts import build

_MODES: tuple[dict[str, Any], ...] = (
    *({"mode": "autoregressive"},) * 3,
    *({"mode": "self_speculation", "variant": "linear", "block_length": 4},) * 3,
    *({"mode": "diffusion", "block_length": 16},) * 2,
)
_SUBJECTS = ("the sea", "a lighthouse", "old bridges", "the moon", "bread", "rivers", "a violin", "winter")
_TARGET = 3.0


def measure(folder: Path, rounds: int, tokens: int) -> list[Result]:
    """One stream and eight, in rounds that take turns at which service goes first."""
    (folder / "cost.yaml").write_text(ANY_MODE)
    policy = ("--policy", str(folder / "cost.yaml"))
    with (
        collector() as endpoint,
        router(folder, "full", *policy, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as full,
        router(folder, "bare", *policy, module="triroute.bench.audit.bare") as bare,
    ):
        return [
            _result("one stream", asyncio.run(_ratios(full, bare, _asked(1, tokens), rounds))),
            _result("eight streams", asyncio.run(_ratios(full, bare, _asked(8, tokens), rounds))),
        ]


@contextmanager
def collector() -> Iterator[str]:
    """A collector that takes everything and reads none of it: its own work is not the service's."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    take = grpc.unary_unary_rpc_method_handler(lambda batch, context: b"")
    for signal in ("trace.v1.Trace", "metrics.v1.Metrics"):
        name = f"opentelemetry.proto.collector.{signal}Service"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": take}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(0).wait()


def _asked(streams: int, tokens: int) -> list[router_pb2.GenerateRequest]:
    """Raw prompts that no model ends soon."""
    return [
        build(
            {"prompt": f"Once upon a time, a tale of {subject}:", "raw": True, "max_tokens": tokens}
            | {"logit_bias": {"2": -100, "0": -100}, "seed": 1, **mode},
            "cost",
        )
        for subject, mode in list(zip(_SUBJECTS, _MODES, strict=True))[:streams]
    ]


async def _ratios(full: str, bare: str, asked: list[router_pb2.GenerateRequest], rounds: int) -> list[float]:
    """How much slower each round was with everything, in percent."""
    found = []
    async with Client(full) as with_all, Client(bare) as without:
        for number in range(-1, rounds):  # the first warms up
            seconds = {}
            for client in (with_all, without) if number % 2 else (without, with_all):
                started = time.perf_counter()
                counts = await asyncio.gather(*(_tokens(client, request) for request in asked))
                seconds[client] = (time.perf_counter() - started) / sum(counts)
            if number >= 0:
                found.append(100 * (seconds[with_all] / seconds[without] - 1))
    return found


async def _tokens(client: Client, request: router_pb2.GenerateRequest) -> int:
    count = 0
    async for event in client.generate(request):
        count += len(event.delta.token_ids)
    return count


def _result(what: str, slower: list[float]) -> Result:
    spread = statistics.quantiles(slower, n=4)
    note = f"median of {len(slower)} rounds; the middle half {spread[0]:+.1f} to {spread[2]:+.1f}"
    return Result(f"records and traces, {what}", "the same without both", statistics.median(slower), _TARGET, "%", note)
