"""What members of a fleet know of each other, over each exchange; and what they do when it fails."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from triroute.router.errors import RateLimited, StoreUnavailable
from triroute.router.fleet import view
from triroute.router.fleet.exchange import Board, Exchange, MemoryExchange, News
from triroute.router.fleet.member import Member
from triroute.router.fleet.pulse import Pulse, from_pins, from_pulse, to_pins, to_pulse
from triroute.router.fleet.rates import Spent
from triroute.router.fleet.redis import RedisExchange
from triroute.router.policy import parse
from triroute.router.policy.live import ActivePolicy
from triroute.router.policy.sessions import Pin
from triroute.router.policy.store.line import Line
from triroute.router.types import FleetLoad, Held, Load, Request, Step, StepKind, Trip

from ..fake_engine import until
from ..redis_server import RedisServer

POLICY = """
version: 1
metadata: {name: test}
session: {sticky: load}
rates: [{requests_per_minute: 60, burst: 12s}]
rules:
  - {id: calm, when: {load: {running: {lt: 8, resume_at: 6}}}, use: {mode: diffusion, block_length: 8}}
  - {id: rest, use: {mode: autoregressive}}
"""
CODE = Step(StepKind.CODE, 0.9)
IN_SESSION = Request(text="x", session_id="s", tenant="t")

Make = Callable[[], Exchange]


@pytest.fixture(params=["memory", "redis"])
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    board, lines = Board(), list[Line]()

    def make() -> Exchange:
        if request.param == "memory":
            return MemoryExchange(board)
        lines.append(Line(request.getfixturevalue("redis_server").url))
        return RedisExchange(lines[-1], "tests")

    yield make
    for line in lines:
        await line.redis.aclose()


class Router:
    """A member with a load that is set by hand."""

    def __init__(self, exchange: Exchange, name: str, running: int = 0) -> None:
        self.own = Load(running, 1, 0.5)
        self.live = ActivePolicy(parse(POLICY, "p"))
        self.member = Member(exchange, self.live, lambda: self.own, name)

    def rule(self) -> str:
        return self.live.decide(IN_SESSION, CODE, self.member.load()).rule_id

    def let_in(self) -> int:
        count = 0
        while True:
            try:
                self.member.rates.admit(self.live.policy, IN_SESSION)
            except RateLimited:
                return count
            count += 1


async def beat(*routers: Router) -> None:
    for router in routers:
        await router.member.beat()


async def test_each_sees_the_loads_of_all(exchange: Make) -> None:
    a, b, c = (Router(exchange(), name, running) for name, running in (("a", 2), ("b", 5), ("c", 20)))
    assert a.member.load() == a.own
    await beat(a, b, c, a)
    assert a.member.load() == Load(2, 1, 0.5, fleet=FleetLoad(3, 27, 3, 0.5))
    assert b.member.load().fleet == FleetLoad(2, 7, 2, 0.5), "c had not spoken yet"
    a.own = Load(3)
    assert a.member.load().fleet == FleetLoad(3, 28, 2, pytest.approx(1 / 3))


async def test_a_session_goes_on_elsewhere(exchange: Make) -> None:
    a, b = Router(exchange(), "a", 1), Router(exchange(), "b", 50)
    assert a.rule() == "calm"
    await beat(a, b)
    assert b.rule() == "calm"
    decision = b.live.decide(IN_SESSION, CODE, b.member.load())
    assert decision.held is not None
    assert (decision.held.router, decision.held.load.running) == ("a", 1)


async def test_a_limit_is_shared(exchange: Make) -> None:
    a, b, c = routers = [Router(exchange(), name) for name in "abc"]
    await beat(*routers, *routers)
    assert [router.let_in() for router in routers] == [4, 4, 4]
    await beat(*routers, *routers)
    assert [router.let_in() for router in routers] == [0, 0, 0]
    assert a.member.rates.peers.routers == 3
    # One that comes later has heard of it at once.
    late = Router(exchange(), "late")
    await beat(late)
    assert late.let_in() == 0
    assert b.member.rates.refused == c.member.rates.refused == 2


async def test_one_that_is_alone_gets_it_all(exchange: Make) -> None:
    router = Router(exchange(), "a")
    await beat(router)
    assert router.let_in() == 12


class Failing:
    """An exchange whose answers get lost on the way back."""

    def __init__(self, inner: Exchange) -> None:
        self.inner = inner
        self.fails = 0

    async def swap(self, pulse: Pulse, pins: tuple[Pin, ...]) -> News:
        news = await self.inner.swap(pulse, pins)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("lost")
        return news


async def test_what_was_told_twice_counts_once(exchange: Make) -> None:
    failing = Failing(exchange())
    a, b = Router(failing, "a"), Router(exchange(), "b")
    for _ in range(3):
        a.member.rates.admit(a.live.policy, IN_SESSION)
    a.rule()
    failing.fails = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await a.member.beat()
    await beat(a, b, b)
    assert b.let_in() == 4, "its half of the nine that are left"
    assert b.rule() == "calm"


async def test_without_news_only_ones_own_load_is_known(exchange: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Router(exchange(), "a", 1), Router(exchange(), "b", 2)
    await beat(a, b, a)
    assert a.member.load().fleet is not None
    monkeypatch.setattr(view, "FRESH_SECONDS", -1)
    assert a.member.load() == a.own
    assert a.member.rates.peers.routers == 2, "for limits, the others are still there"


async def test_outage_of_redis_stops_nothing(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    line = Line(redis_server.url)
    a = Router(RedisExchange(line, "tests"), "a", 1)
    other = Line(redis_server.url)
    async with a.member:
        b = Router(RedisExchange(other, "tests"), "b", 2)
        await beat(b)
        await until(lambda: a.member.load().fleet is not None)
        for harm, mend in ((redis_server.freeze, redis_server.thaw), (redis_server.kill, redis_server.start)):
            harm()
            await until(lambda: line.breaker.open)
            assert a.rule() == "calm"
            a.member.rates.admit(a.live.policy, Request(text="x", tenant="another"))
            mend()
            await until(lambda: not line.breaker.open)
    for made in (line, other):
        await made.redis.aclose()
    told = [record.message.partition("redis.sock ")[2] for record in caplog.records]
    assert [words.partition("(")[0] for words in told] == ["does not answer ", "answers again"] * 2


async def test_a_bug_in_the_exchange_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        calls = 0

        async def swap(self, pulse: Pulse, pins: tuple[Pin, ...]) -> News:
            self.calls += 1
            raise ZeroDivisionError("a bug")

    broken = Broken()
    async with Router(broken, "a").member:
        await until(lambda: broken.calls > 2)
    assert len(caplog.records) == 1


async def test_what_is_no_pulse_is_passed_over(redis_server: RedisServer) -> None:
    line = Line(redis_server.url)
    for key, fields in (
        ("pulses", {"pulse": "{"}),
        ("pulses", {"x": "y"}),
        ("pulses", {"pulse": json.dumps({"load": 3})}),
        ("sessions", {"pins": "[[1, 2]]"}),
        ("sessions", {"pins": "{"}),
    ):
        await line.redis.xadd(f"triroute:fleet:v1:{{tests}}:{key}", fields)
    a = Router(RedisExchange(line, "tests"), "a")
    await beat(a)
    assert a.member.load() == a.own
    await line.redis.aclose()


async def test_streams_that_are_none_leave_the_policy_its_line(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line(redis_server.url)
    await line.redis.set("triroute:fleet:v1:{tests}:pulses", "not a stream")
    a = Router(RedisExchange(line, "tests"), "a", 1)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await a.member.beat()
    assert not line.breaker.open
    assert a.rule() == "calm"
    await line.redis.delete("triroute:fleet:v1:{tests}:pulses")
    await beat(a)
    assert [record.message.partition(" what")[0] for record in caplog.records] == ["Redis refuses", "Redis takes"]
    await line.redis.aclose()


async def test_a_late_router_reads_all_there_is(redis_server: RedisServer) -> None:
    line = Line(redis_server.url)
    a = Router(RedisExchange(line, "tests"), "a", 1)
    for number in range(450):
        a.live.decide(Request(text="x", session_id=str(number)), CODE, a.own)
    await beat(a, a, a, a, a)
    b = Router(RedisExchange(line, "tests"), "b", 2)
    await beat(b)
    assert len(b.live.sessions) == 450
    await line.redis.aclose()


def test_texts_of_pulses_and_pins_come_back() -> None:
    pulse = Pulse("a", "life", 7, Load(1, 2, 0.25), {"täñ\n": Spent(1, 2.5)})
    assert to_pulse(from_pulse(pulse)) == pulse
    load = Load(*(1, 2, 0.25), tripped=frozenset({Trip("fleet.running", 8, True, 6)}), fleet=FleetLoad(3, 4, 5, 0.5))
    pin = Pin("key", Held(load, 123, "a"), 456)
    other = Pin("other", Held(Load(), 1, ""), 2)
    assert to_pins(from_pins((pin, other))) == [pin, other]


async def test_the_loop_beats() -> None:
    board = Board()
    async with Router(MemoryExchange(board), "a").member:
        await until(lambda: board.last > 1)
    last = board.last
    await asyncio.sleep(0)
    assert board.last == last
