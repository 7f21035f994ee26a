"""What records and spans of every step cost: tokens a second with both, against the same service without."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import AsyncExitStack, contextmanager
from itertools import cycle, islice, permutations
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
_IN_A_ROW = {1: 4, 8: 1}  # by the number of streams: a step also pays for what the one before it left to do
_SUBJECTS = ("the sea", "a lighthouse", "old bridges", "the moon", "bread", "rivers", "a violin", "winter")
_TARGET = 3.0


def measure(folder: Path, rounds: int, tokens: int) -> list[Result]:
    """One stream and eight. In a round, each service has its turn, in an order that changes.

    There are two services without records and spans: how they differ is what the machine does to such a figure.
    """
    (folder / "cost.yaml").write_text(ANY_MODE)
    policy = ("--policy", str(folder / "cost.yaml"))
    with (
        collector() as endpoint,
        router(folder, "full", *policy, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as full,
        router(folder, "bare", *policy, module="triroute.bench.audit.bare") as bare,
        router(folder, "bare too", *policy, module="triroute.bench.audit.bare") as other,
    ):
        return [
            _result(what, asyncio.run(_rounds((full, bare, other), streams, tokens, rounds)))
            for what, streams in (("one stream", 1), ("eight streams", 8))
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


async def _rounds(services: Sequence[str], streams: int, tokens: int, rounds: int) -> list[list[float]]:
    """Seconds a token of each service in each round."""
    asked = _asked(streams, tokens)
    found = list[list[float]]()
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(Client(one)) for one in services]
        for order in islice(cycle(permutations(range(len(clients)))), rounds + 1):
            seconds = [0.0] * len(clients)
            for turn in order:
                seconds[turn] = await _seconds_a_token(clients[turn], asked, _IN_A_ROW[streams])
            found.append(seconds)
    return found[1:]  # the first warms up


async def _seconds_a_token(client: Client, asked: Sequence[router_pb2.GenerateRequest], times: int) -> float:
    started, count = time.perf_counter(), 0
    for _ in range(times):
        count += sum(await asyncio.gather(*(_tokens(client, request) for request in asked)))
    return (time.perf_counter() - started) / count


async def _tokens(client: Client, request: router_pb2.GenerateRequest) -> int:
    count = 0
    async for event in client.generate(request):
        count += len(event.delta.token_ids)
    return count


def _result(what: str, rounds: list[list[float]]) -> Result:
    """In percent of the time without: beside it, how the two services without differ."""
    slower = [100 * (2 * full / (bare + other) - 1) for full, bare, other in rounds]
    apart = [100 * (other / bare - 1) for _, bare, other in rounds]
    spread, noise = statistics.quantiles(slower, n=4), statistics.quantiles(apart, n=4)
    note = (
        f"median of {len(slower)} rounds; the middle half {spread[0]:+.1f} to {spread[2]:+.1f}; two services without:"
        f" {statistics.median(apart):+.1f}, {noise[0]:+.1f} to {noise[2]:+.1f}"
    )
    return Result(f"records and traces, {what}", "the same without both", statistics.median(slower), _TARGET, "%", note)
