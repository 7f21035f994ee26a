"""Three whole routers with engines that are made up, one Redis, and callers: limits, sessions and outages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from triroute.proto import chat_pb2, router_pb2, router_pb2_grpc
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.types import Load

from .. import fake_engine
from ..fake_engine import until
from ..redis_server import RedisServer

POLICY = """
version: 1
metadata: {name: test}
session: {sticky: load}
rates:
  - {tenant: few, requests_per_minute: 30, burst: 1m}
  - {tenant: short, tokens_per_minute: 60}
rules:
  - {id: calm, when: {load: {fleet: {running: {lt: 8, resume_at: 6}}}}, use: {mode: diffusion, block_length: 8}}
  - {id: rest, use: {mode: autoregressive}}
"""


class Router:
    """A service and a channel to it."""

    def __init__(self, service: Service, channel: grpc.aio.Channel) -> None:
        self.service = service
        self.stub = router_pb2_grpc.RouterStub(channel)

    async def run(self, tenant: str = "", session: str = "", tokens: int = 1) -> list[router_pb2.GenerateEvent]:
        return [event async for event in self.stub.Generate(asked(tenant, session, tokens))]

    async def code(self, tenant: str) -> grpc.StatusCode:
        try:
            await self.run(tenant)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def asked(tenant: str = "", session: str = "", tokens: int = 1) -> router_pb2.GenerateRequest:
    sampling = chat_pb2.Sampling(max_tokens=tokens)
    return router_pb2.GenerateRequest(text="go on", sampling=sampling, tenant=tenant, session_id=session)


@pytest.fixture
async def routers(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[list[Router]]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    async with AsyncExitStack() as stack:
        made = []
        for name in "abc":
            settings = Settings(
                listen="127.0.0.1:0",
                policy=tmp_path / "policy.yaml",
                records=tmp_path / f"{name}.sqlite",
                engine=fake_engine.command(),
                otlp_endpoint="",
                redis=redis_server.url,
                replica=name,
            )
            service = await stack.enter_async_context(Service(settings))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(service.address))
            made.append(Router(service, channel))
        await until(lambda: all(router.service.pipeline.member.rates.peers.routers == 3 for router in made))
        yield made


async def test_a_limit_is_shared_within_the_stated_overshoot(routers: list[Router]) -> None:
    start, answers = time.monotonic(), list[grpc.StatusCode]()

    async def hammer(router: Router) -> None:
        while answers.count(grpc.StatusCode.RESOURCE_EXHAUSTED) < 150:
            answers.append(await router.code("few"))
            await asyncio.sleep(0.02)  # long enough for the routers to hear of each other meanwhile

    await asyncio.gather(*(hammer(router) for router in routers))
    given = (time.monotonic() - start) * 30 / 60
    let_in = answers.count(grpc.StatusCode.OK)
    assert set(answers) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 30 - 3 <= let_in <= 30 + given + 15 + 3, "a burst, the rate; half a burst and one a router too much"


async def test_a_refusal_has_its_status_and_says_when(routers: list[Router]) -> None:
    await routers[0].run("short", tokens=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await routers[0].run("short", tokens=60)
    error = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "tenant 'short': the policy gives 60 tokens a minute" in (error.details() or "")
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert [detail.Unpack(info) or detail.Unpack(retry) for detail in status.details] == [True, True]
    assert info.reason == "RATE_LIMITED"
    assert retry.retry_delay.ToMilliseconds() > 0


async def test_asking_how_costs_nothing(routers: list[Router]) -> None:
    for _ in range(100):
        await routers[0].stub.Decide(asked("few", "s"))
    await routers[0].run("few")
    assert len(routers[0].service.pipeline.live.sessions) == 0


async def test_a_step_that_fails_gives_its_tokens_back(routers: list[Router]) -> None:
    member = routers[0].service.pipeline.member
    call = routers[0].stub.Generate(asked("short", tokens=10_000))
    await call.read()
    call.cancel()
    await until(lambda: not routers[0].service.pipeline.running)
    account = member.rates._accounts["short"].tokens
    assert account is not None
    assert account.whole.level > -1_000


async def test_a_session_moves_between_routers(routers: list[Router]) -> None:
    first, second, _ = routers
    began = (await first.run(session="s"))[0].decision
    assert (began.rule_id, began.HasField("held")) == ("calm", False)
    second.service.supervisor.client.load = Load(50)
    assert (await second.stub.Decide(asked())).rule_id == "rest"
    await until(lambda: len(second.service.pipeline.live.sessions) == 1)
    went_on = (await second.run(session="s"))[0].decision
    assert (went_on.rule_id, went_on.held.router) == ("calm", "a")


async def test_outages_reach_no_caller(routers: list[Router], redis_server: RedisServer) -> None:
    steps, running = 0, True

    async def ask(router: Router, number: int) -> None:
        nonlocal steps
        while running:
            await router.run(f"tenant {number}", session=f"{number} {steps}")
            steps += 1

    tasks = [asyncio.create_task(ask(router, number)) for number, router in enumerate(routers)]

    async def more(count: int) -> None:
        target = steps + count
        await until(lambda: steps >= target or any(task.done() for task in tasks))
        assert not any(task.done() for task in tasks)

    members = [router.service.pipeline.member for router in routers]
    store = routers[0].service.keeper.store
    await more(30)
    for harm, mend in ((redis_server.freeze, redis_server.thaw), (redis_server.kill, redis_server.start)):
        harm()
        await until(lambda: bool(store.health().error))
        await more(60)
        heard = [member.rates.peers.heard for member in members]
        mend()
        await until(lambda was=heard: all(m.rates.peers.heard > h for m, h in zip(members, was, strict=True)))  # type: ignore[misc]
    running = False
    await asyncio.gather(*tasks)
