"""What a Decide call costs over a bare gRPC call: both servers in processes of their own, asked in turn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from triroute.bench.engines.base import quantile
from triroute.bench.policy.echo import METHOD
from triroute.bench.policy.processes import echo, router
from triroute.bench.policy.result import Result
from triroute.bench.policy.steps import agent, short
from triroute.proto import router_pb2

_WARM_UP = 100
_TARGET_MS = 0.4


def measure(pairs: int) -> list[Result]:
    """One result for each step: the median over pairs of (Decide - echo)."""
    with (
        tempfile.TemporaryDirectory(prefix="calls-") as folder,
        echo() as bare,
        router(Path(folder), "r") as ours,
        grpc.insecure_channel(bare) as bare_channel,
        grpc.insecure_channel(ours) as channel,
    ):
        plain = bare_channel.unary_unary(METHOD, None, None)
        # Bytes on both sides: what the client does with messages is not measured.
        decide = channel.unary_unary("/triroute.v1.Router/Decide", None, None)
        steps = {"an agent's step": agent(), "a short step": short()}
        return [_one(name, step, plain, decide, pairs) for name, step in steps.items()]


def _one(
    name: str,
    step: router_pb2.GenerateRequest,
    plain: Callable[[bytes], bytes],
    decide: Callable[[bytes], bytes],
    pairs: int,
) -> Result:
    request = step.SerializeToString()
    for _ in range(_WARM_UP):
        _timed(plain, request)
        _timed(decide, request)
    differences, bare, ours = list[float](), list[float](), list[float]()
    for number in range(pairs):
        # Who is first alternates: the second call of a pair finds warmer caches.
        both = [(plain, bare), (decide, ours)]
        for call, times in both if number % 2 else reversed(both):
            times.append(_timed(call, request))
        differences.append(ours[-1] - bare[-1])
    for times in (differences, bare, ours):
        times.sort()
    p50s = f"Decide {quantile(ours, 0.5):.2f}, echo {quantile(bare, 0.5):.2f}"
    p99s = f"Decide {quantile(ours, 0.99):.2f}, echo {quantile(bare, 0.99):.2f}"
    note = f"p50: {p50s}; p99: {p99s} ms; {len(request)} bytes, {pairs} pairs"
    reference = "LiteLLM 4.3 ms, Portkey 2.4 ms added"
    return Result(
        f"Decide over a bare gRPC echo, {name}, p50", reference, quantile(differences, 0.5), _TARGET_MS, "ms", note
    )


def _timed(call: Callable[[bytes], bytes], request: bytes) -> float:
    """Milliseconds."""
    start = time.perf_counter_ns()
    call(request)
    return (time.perf_counter_ns() - start) / 1e6
