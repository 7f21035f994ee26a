"""Three routers and one Redis under load: how long a change takes, and what an outage of Redis costs callers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from triroute.bench.engines.base import quantile
from triroute.bench.policy.processes import router
from triroute.bench.policy.redis_server import RedisServer
from triroute.bench.policy.result import Result
from triroute.bench.policy.steps import agent
from triroute.proto import chat_pb2, policy_admin_pb2, router_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.client import CallFailed, Client

_PAUSE_SECONDS = 0.005  # between a router's calls: they share their cores with three engines
_STEP_EVERY = 40  # Decide calls
_POLICY = """
version: 1
metadata: {name: round-%d}
session: {sticky: load}
rates: [{requests_per_minute: 1000000}]
rules:
  - {id: busy, when: {load: {fleet: {running: {gte: 99, resume_at: 90}}}}, use: {mode: autoregressive}}
  - {id: rest, use: {mode: self_speculation}}
"""


class Callers:
    """One caller a router: Decide calls, and now and then a step of one token, in a session and for a tenant."""

    def __init__(self, routers: int) -> None:
        self.routers = routers
        self.wanted = ""
        self.all_there = asyncio.Event()
        self.now = "start"
        self.milliseconds: dict[str, list[float]] = {}
        self.revisions: dict[str, str] = {}
        self.calls = 0
        self.errors: list[str] = []

    async def call(self, address: str) -> None:
        """Until cancelled."""
        number = 0
        async with Client(address) as client:
            while True:
                await asyncio.sleep(_PAUSE_SECONDS)
                number += 1
                try:
                    await self._decide(client, address)
                    if number % _STEP_EVERY == 0:
                        await self._step(client, f"{address} {number // 100}")
                except CallFailed as error:
                    self.errors.append(f"{self.now}: {error}")

    async def _decide(self, client: Client, address: str) -> None:
        during, start = self.now, time.perf_counter()
        decision = await client.decide(agent())
        self.milliseconds.setdefault(during, []).append(1000 * (time.perf_counter() - start))
        self.revisions[address] = decision.policy_revision
        if len(self.revisions) == self.routers and set(self.revisions.values()) == {self.wanted}:
            self.all_there.set()
        self.calls += 1

    async def _step(self, client: Client, session: str) -> None:
        sampling = chat_pb2.Sampling(max_tokens=1)
        step = router_pb2.GenerateRequest(text="A colour:", sampling=sampling, session_id=session, tenant="acme")
        async for _ in client.generate(step):
            pass
        self.calls += 1


def measure(rounds: int, seconds: float) -> list[Result]:
    """Changes first, then outages: each round has a quiet phase before each frozen and each killed one."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        stack.callback(redis.close)
        options = ["--redis", redis.url]
        addresses = []
        for replica in "xyz":
            own = [*options, "--replica", replica, "--last-good", f"{folder}/{replica}.json"]
            addresses.append(stack.enter_context(router(folder, replica, *own)))
        return asyncio.run(_measure(addresses, f"unix:{folder}/x.sock", redis, rounds, seconds))


async def _measure(addresses: list[str], admin: str, redis: RedisServer, rounds: int, seconds: float) -> list[Result]:
    callers = Callers(len(addresses))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AdminClient(admin))
        tasks = [asyncio.create_task(callers.call(address)) for address in addresses]
        stack.push_async_callback(_end, tasks)
        await asyncio.sleep(seconds)
        callers.now = "apply"
        took = [await _apply(callers, client, number) for number in range(2 * rounds)]
        calls, errors = callers.calls, len(callers.errors)
        for number in range(rounds):
            for harm, mend in ((redis.freeze, redis.thaw), (redis.kill, redis.start)):
                await _phase(callers, f"before {harm.__name__} {number}", seconds)
                await asyncio.to_thread(harm)
                await _phase(callers, f"{harm.__name__} {number}", seconds)
                await asyncio.to_thread(mend)
                await _phase(callers, "mended", seconds)
    during = callers.calls - calls
    note = f"the slowest of {len(took)} changes, the median {sorted(took)[len(took) // 2]:.2f} s"
    results = [
        Result("three routers, apply to all on the new revision", "LiteLLM: restart", max(took), 2.0, "s", note),
        Result("calls that failed meanwhile", "", errors, 0, "", f"of {calls}"),
        _added("frozen", callers, "freeze", rounds),
        _added("killed", callers, "kill", rounds),
    ]
    failed = len(callers.errors) - errors
    about = f"of {during}, {rounds} times frozen and mended, {rounds} times killed and restarted"
    results.append(Result("calls that failed during outages", "LiteLLM fails them", failed, 0, "", about))
    return results


def _added(words: str, callers: Callers, harm: str, rounds: int) -> Result:
    """The median over rounds of what an outage adds to the p99 of the moments before."""
    differences, quiet, out = [], list[float](), list[float]()
    for number in range(rounds):
        before, during = (sorted(callers.milliseconds[f"{head}{harm} {number}"]) for head in ("before ", ""))
        differences.append(quantile(during, 0.99) - quantile(before, 0.99))
        quiet, out = sorted(quiet + before), sorted(out + during)
    differences.sort()
    told = [f"p{at * 100:.0f} {quantile(quiet, at):.2f} → {quantile(out, at):.2f}" for at in (0.5, 0.99)]
    spread = f"{differences[0]:.2f} to {differences[-1]:.2f} in {rounds} rounds"
    note = f"{spread}; of all, {', '.join(told)} ms; {len(out)} calls"
    reference = "LiteLLM hangs 8 s a call"
    return Result(f"Redis {words}, added p99", reference, quantile(differences, 0.5), 1.0, "ms", note)


async def _phase(callers: Callers, name: str, seconds: float) -> None:
    callers.now = name
    await asyncio.sleep(seconds)


async def _apply(callers: Callers, client: AdminClient, number: int) -> float:
    """Seconds from the call of Apply until a caller of each router has a decision by the new revision."""
    start = time.perf_counter()
    asked = policy_admin_pb2.ApplyPolicyRequest(text=_POLICY % number, author="bench", reason="to measure")
    revision = (await client.apply(asked)).revision
    callers.wanted = revision
    callers.all_there.clear()
    async with asyncio.timeout(60):
        await callers.all_there.wait()
    return time.perf_counter() - start


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
