"""What every store promises, by each store against its real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from triroute.router.errors import InvalidPolicy, NotFound, RevisionMoved, StartFailed, StoreUnavailable
from triroute.router.policy.store import Acknowledgement, Kind, Move, Store
from triroute.router.policy.store.memory import MemoryStore
from triroute.router.policy.store.redis import RedisStore
from triroute.router.policy.trial import Candidate

from ...redis_server import RedisServer

A, B, C = "a" * 64, "b" * 64, "c" * 64


def apply(revision: str, expected: str | None = None) -> Move:
    return Move(Kind.APPLY, revision, f"text of {revision[0]}", "ann", f"because of {revision[0]}", expected)


def seed(revision: str, number: int) -> Move:
    return Move(Kind.SEED, revision, f"text of {revision[0]}", "router", "empty", number=number)


def canary(candidate: Candidate, active: str = B) -> Move:
    text = f"text of {candidate.revision[0]}"
    return Move(Kind.CANARY, active, "", "ann", "to see", active, candidate=candidate, candidate_text=text)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    redis = RedisStore(server.url, "tests")
    yield redis
    await redis.close()


async def test_moves_are_kept_in_order(store: Store) -> None:
    assert await store.latest() is None
    await store.move(seed(A, 0))
    second = await store.move(apply(B, A))
    third = await store.move(Move(Kind.ROLLBACK, A, "text of a", "bob", "b was slow", B))
    assert (second.number, second.revision, second.previous, second.kind) == (1, B, A, Kind.APPLY)
    assert await store.latest() == third
    assert await store.history(10) == [third, second, (await store.history(3))[-1]]
    assert [change.author for change in await store.history(2)] == ["bob", "ann"]
    assert await store.text(B) == "text of b"
    assert await store.find("bbbbbb") == B


async def test_second_of_two_changes_is_refused(store: Store) -> None:
    await store.move(apply(A))
    await store.move(apply(B, A))
    with pytest.raises(RevisionMoved, match="active revision is bbbbbbbbbbbb, not aaaaaaaaaaaa"):
        await store.move(apply(C, A))
    assert [change.revision for change in await store.history(10)] == [B, A]
    with pytest.raises(NotFound):
        await store.text(C)


async def test_exactly_one_of_many_at_once_wins(store: Store) -> None:
    await store.move(apply(A))
    asked = [store.move(apply(f"{number:064x}", A)) for number in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, RevisionMoved) for answer in answers) == 7
    assert len(await store.history(10)) == 2


async def test_moving_to_what_is_active_changes_nothing(store: Store) -> None:
    first = await store.move(apply(A))
    assert await store.move(apply(A, C)) == first
    assert await store.history(10) == [first]


async def test_seed_never_replaces_a_change(store: Store) -> None:
    first = await store.move(apply(A))
    assert await store.move(seed(B, 7)) == first
    assert await store.latest() == first


async def test_candidates_come_and_go_with_changes(store: Store) -> None:
    await store.move(apply(A))
    await store.move(apply(B))
    candidate = Candidate(C, 5)
    started = await store.move(canary(candidate))
    assert (started.revision, started.previous, started.candidate) == (B, A, candidate)
    assert await store.text(C) == "text of c"
    assert await store.find("cccccc") == C
    assert await store.move(canary(candidate)) == started  # nothing is new
    more = await store.move(canary(replace(candidate, percent=50)))
    assert (more.number, (await store.history(1))[0]) == (started.number + 1, more)
    assert await store.latest() == more
    back = await store.move(Move(Kind.ROLLBACK, A, "", "ann", "back", B))
    assert (back.previous, back.candidate) == (B, None)


async def test_one_of_many_that_stop_a_canary_wins(store: Store) -> None:
    await store.move(apply(A))
    running = await store.move(canary(Candidate(C, 5), A))
    assert running.candidate is not None
    stopped = replace(running.candidate, stopped=True)
    stop = Move(Kind.ABORT, A, "", "x", "worse", A, candidate=stopped, after=running.number)
    last = await store.move(stop)
    assert await store.move(replace(stop, author="y")) == last  # the same again is no error
    with pytest.raises(RevisionMoved, match="another change came first"):
        await store.move(replace(stop, candidate=None))
    assert len(await store.history(10)) == 3


async def test_tallies_by_router(store: Store) -> None:
    assert await store.told("t") == {}
    await store.tell("t", "x", "1")
    await store.tell("t", "y", "2")
    await store.tell("t", "x", "3")
    assert await store.told("t") == {"x": "3", "y": "2"}


async def test_wait_ends_with_a_change(store: Store) -> None:
    first = await store.move(apply(A))
    waiting = asyncio.create_task(store.wait(first.number, 60))
    await asyncio.sleep(0)
    await store.move(apply(B))
    await asyncio.wait_for(waiting, 20)
    await asyncio.wait_for(store.wait(first.number, 60), 20)


async def test_acknowledgements_by_name(store: Store) -> None:
    said = [Acknowledgement(name, 1, A, name != "y", "no" * (name == "y"), B, 2**50) for name in ("y", "x")]
    for one in said:
        await store.acknowledge(one)
    assert await store.acknowledgements() == said[::-1]


async def test_greatest_seed_stays_after_a_loss(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, "tests")
    await store.move(seed(A, 3))
    assert (await store.move(seed(B, 5))).revision == B
    assert (await store.move(seed(A, 4))).revision == B
    assert (await store.move(apply(C, B))).number == 6
    await store.close()


async def test_text_changed_by_hand_is_refused(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, "tests")
    await store.move(apply(A))
    await store._redis.hset(store._key(f"revision:{A}"), "text", "other")
    with pytest.raises(InvalidPolicy, match="its text in Redis was changed"):
        await store.text(A)
    await store._redis.hset(store._key("active"), "candidate", "5 %")
    with pytest.raises(StoreUnavailable, match="changed by hand"):
        await store.latest()
    await store._redis.hset(store._key("active"), "number", "many")
    with pytest.raises(StoreUnavailable, match="changed by hand"):
        await store.latest()
    await store.close()


async def test_fleets_are_apart(redis_server: RedisServer) -> None:
    one, other = RedisStore(redis_server.url, "one"), RedisStore(redis_server.url, "other")
    await one.move(apply(A))
    assert await other.latest() is None
    await one.close()
    await other.close()


@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_outage_fails_fast_and_ends(
    redis_server: RedisServer, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(redis_server.url, "tests")
    await store.move(apply(A))
    getattr(redis_server, harm)()
    for _ in range(50):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await asyncio.wait_for(store.latest(), 20)
    assert store.health().error
    if harm == "kill":
        redis_server.start()
    else:
        redis_server.thaw()
    async with asyncio.timeout(20):
        while store.health().error:
            try:
                await store.latest()
            except StoreUnavailable:
                await asyncio.sleep(0.02)
    lines = [record.message for record in caplog.records if record.name == "triroute.policy"]
    assert [line.split("(")[0].strip() for line in lines] == [
        f"Redis at unix://{redis_server.socket} does not answer",
        f"Redis at unix://{redis_server.socket} answers again",
    ]
    await store.close()


async def test_passwords_are_not_shown() -> None:
    assert RedisStore("redis://user:secret@example:6379/0", "x").health().where == "Redis at redis://example:6379/0"


@pytest.mark.parametrize(("url", "fleet"), [("example:6379", "x"), ("http://a:secret@x", "x"), ("redis://x", "{x}")])
async def test_what_is_no_redis_is_named(url: str, fleet: str) -> None:
    with pytest.raises(StartFailed, match=r"--(redis|fleet) .* is no (URL of a Redis|name)") as caught:
        RedisStore(url, fleet)
    assert "secret" not in str(caught.value)
