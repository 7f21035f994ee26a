"""Three routers and one Redis: all follow, bad policies never rule, and outages change nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from triroute.router.policy.keeper import PolicyKeeper
from triroute.router.policy.store import Kind, Move
from triroute.router.policy.store.last_good import Copy, LastGood
from triroute.router.settings import Settings
from triroute.router.types import Load, Request, Step, StepKind

from ..fake_engine import until
from ..redis_server import RedisServer
from .policies import policy, text

Fleet = list[PolicyKeeper]


def apply(name: str) -> Move:
    return Move(Kind.APPLY, policy(name).revision, text(name), "ann", "to see")


def serving(fleet: Fleet) -> set[str]:
    return {keeper.live.policy.name for keeper in fleet}


def p99(seconds: list[float]) -> str:
    return f"{sorted(seconds)[int(len(seconds) * 0.99)] * 1e6:.0f} µs"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "policy.yaml"
    file.write_text(text("first"))
    return Settings(policy=file, records=tmp_path / "r.sqlite")


@pytest.fixture
async def fleet(settings: Settings, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        keepers = []
        for name in ("x", "y", "z"):
            mine = replace(settings, redis=redis_server.url, last_good=tmp_path / f"{name}.json")
            keepers.append(await stack.enter_async_context(PolicyKeeper(mine, name)))
        yield keepers


class Deciding:
    """Decides without pause while something else happens; keeps the seconds that each took, and the revisions."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.count = 0
        self.seconds: list[float] = []
        self.revisions: set[str] = set()

    async def __aenter__(self) -> Deciding:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert self._task.cancelled(), "a decision failed"
        assert self.count

    async def _run(self) -> None:
        request, step = Request(text="hello"), Step(StepKind.PROSE, 1.0, ())
        while True:
            for keeper in self.fleet:
                start = time.perf_counter()
                decision = keeper.live.decide(request, step, Load())
                self.seconds.append(time.perf_counter() - start)
                self.revisions.add(decision.policy_revision)
                self.count += 1
            await asyncio.sleep(0)


async def test_all_follow_within_two_seconds_under_load(fleet: Fleet) -> None:
    store = fleet[0].store
    taken = []
    async with Deciding(fleet) as deciding:
        for number in range(5):
            name = f"p{number}"
            start = time.perf_counter()
            await store.move(apply(name))
            await until(lambda name=name: serving(fleet) == {name})  # type: ignore[misc]
            taken.append(time.perf_counter() - start)
    print(f"3 routers follow in {min(taken) * 1000:.0f} to {max(taken) * 1000:.0f} ms, {deciding.count} decisions")
    assert max(taken) < 10  # 2 s on a machine of its own
    assert deciding.revisions <= {policy(name).revision for name in ("first", *(f"p{n}" for n in range(5)))}
    await until(lambda: all(keeper.follower.number == 5 for keeper in fleet))
    said = await store.acknowledgements()
    assert [(one.replica, one.accepted, one.serving) for one in said] == [
        (name, True, policy("p4").revision) for name in ("x", "y", "z")
    ]


@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_outage_changes_nothing_and_ends(fleet: Fleet, redis_server: RedisServer, harm: str) -> None:
    await fleet[0].store.move(apply("second"))
    await until(lambda: serving(fleet) == {"second"})
    async with Deciding(fleet) as deciding:
        await until(lambda: deciding.count > 1_000)
        quiet = deciding.count
        getattr(redis_server, harm)()
        await until(lambda: all(keeper.store.health().error for keeper in fleet))
        during = deciding.count
        await until(lambda: deciding.count > during + 1_000)
        assert serving(fleet) == {"second"}
        redis_server.start() if harm == "kill" else redis_server.thaw()
        await until(lambda: not any(keeper.store.health().error for keeper in fleet))
    print(f"p99 of a decision {p99(deciding.seconds[:quiet])} quiet, {p99(deciding.seconds[quiet:])} with {harm}")
    assert deciding.revisions == {policy("second").revision}
    await fleet[2].follower.catch_up()  # a server that came back empty learns again what is served
    latest = await fleet[1].store.latest()
    assert latest is not None
    assert (latest.number, latest.revision) == (1, policy("second").revision)
    await fleet[2].store.move(apply("third"))
    await until(lambda: serving(fleet) == {"third"})


def bad_policies() -> list[str]:
    """A hundred ways to be wrong."""
    good = text("good")
    keys = ["version", "metadata", "rules", "name", "id", "use", "mode"]
    modes = ["auto", "ar", "Autoregressive", "speculation", "'' ", "0", "[]", "{}", "fast", "true"]
    cut = [good[:length] for length in range(3, len(good) - 25, 5)]
    renamed = [good.replace(f"{key}:", f"{key}x:", 1) for key in keys]
    doubled = [good.replace(f"{key}:", f"{key}: 1, {key}:", 1) for key in keys]
    values = [good.replace("autoregressive", mode) for mode in modes]
    limits = [f"{good}limits: {{{name}: {value}}}\n" for name in ("block_length", "max_steps", "x") for value in
              ("[9, 2]", "[a, b]", "5", "[1]", "[1, 2, 3]", "{}", "'1-2'", "[-1, 4]")]  # fmt: skip
    whole = ["", "[]", "5", "\0", "a: &a [*a]", "---\n---", "%", "\t", "!!python/object:os.system {}", "{" * 1000]
    extra = [f"{good}{line}\n" for line in ("x: 1", "rules: []", "when: {}", "version: 1", ": 1", "?", "<<: 5", "- a")]
    late = [good + f"  - {{id: only-good{n}, when: {{step: {step}}}, use: {{mode: autoregressive}}}}\n"
            for n, step in enumerate(("prose", "toolcall", "7", "[]", "[plan, x]", "{}"))]  # fmt: skip
    versions = [good.replace("version: 1", f"version: {v}") for v in ("2", "0", "one", "[1]", "1.5", "", "-1", "{}")]
    found = dict.fromkeys([*cut, *renamed, *doubled, *values, *limits, *whole, *extra, *late, *versions])
    ids = [good.replace("only-good", value, 1) for value in ("''", "[]", "{}", "5", "~", "a b", "true", "A" * 500)]
    uses = [good.replace("{mode: autoregressive}", value) for value in ("[]", "5", "fast", "{mode: [a]}", "{moode: a}")]
    return list(dict.fromkeys([*found, *uses, *ids]))[:100]


async def test_bad_policy_is_never_active_in_a_hundred_ways(fleet: Fleet) -> None:
    """Written past PolicyAdmin, straight into the store; each router refuses it, and says why."""
    x = fleet[0]
    bad = bad_policies()
    assert len(bad) == 100
    errors = set()
    async with Deciding(fleet) as deciding:
        for number, broken in enumerate(bad, start=1):
            await x.store.move(Move(Kind.APPLY, f"{number:064x}", broken, "mallory", "to break it"))
            async with asyncio.timeout(20):
                for keeper in fleet:
                    await keeper.follower.catch_up()
            for said in await x.store.acknowledgements():
                assert (said.number, said.accepted, said.serving) == (number, False, policy("first").revision), broken
                assert ":" in said.error
                errors.add(said.error.split(":", 1)[1])
    assert deciding.revisions == {policy("first").revision}
    assert [keeper.live.refused for keeper in fleet] == [100] * 3
    assert len(errors) > 60  # each says what is wrong with this one
    await x.store.move(apply("good"))
    await until(lambda: serving(fleet) == {"good"})


async def test_older_seed_gives_way(settings: Settings, redis_server: RedisServer, tmp_path: Path) -> None:
    """Redis lost its data, and a new router wrote its file's policy before ours, which is newer, could."""
    mine = replace(settings, redis=redis_server.url, last_good=tmp_path / "x.json")
    async with PolicyKeeper(mine, "x") as x:
        await x.store.move(apply("second"))
        await until(lambda: serving([x]) == {"second"})
        redis_server.kill()
        redis_server.start()
        other = tmp_path / "other.yaml"
        other.write_text(text("other"))
        async with PolicyKeeper(replace(settings, policy=other, redis=redis_server.url), "y") as y:
            await until(lambda: serving([x, y]) == {"second"})


async def test_cold_start_without_redis(settings: Settings, redis_server: RedisServer, tmp_path: Path) -> None:
    mine = replace(settings, redis=redis_server.url, last_good=tmp_path / "x.json")
    async with PolicyKeeper(mine, "x") as keeper:
        await keeper.store.move(apply("second"))
        await until(lambda: serving([keeper]) == {"second"})
    redis_server.kill()
    async with PolicyKeeper(mine, "x") as keeper:
        assert serving([keeper]) == {"second"}
        redis_server.start()
        await until(lambda: not keeper.store.health().error)


async def test_change_outlives_a_restart_until_the_file_changes(settings: Settings, tmp_path: Path) -> None:
    mine = replace(settings, last_good=tmp_path / "last.json")
    async with PolicyKeeper(mine) as keeper:
        await keeper.store.move(apply("second"))
        await until(lambda: serving([keeper]) == {"second"})
    assert serving([PolicyKeeper(mine)]) == {"second"}
    mine.policy.write_text("not: [a policy")
    assert serving([PolicyKeeper(mine)]) == {"second"}
    mine.policy.write_text(text("third"))
    assert serving([PolicyKeeper(mine)]) == {"third"}


async def test_copy_on_disk_is_the_latest(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk is, and whoever asks: a copy that was asked for earlier never comes later."""
    disk, free, write = threading.Event(), threading.Event(), LastGood.write

    def slow(self: LastGood, copy: Copy) -> None:
        disk.set()
        assert free.wait(20)
        write(self, copy)

    monkeypatch.setattr(LastGood, "write", slow)
    async with PolicyKeeper(replace(settings, last_good=tmp_path / "last.json")) as keeper:
        await keeper.store.move(apply("second"))
        await asyncio.to_thread(disk.wait, 20)
        noting = asyncio.create_task(keeper.follower.note_file("noted"))
        await asyncio.sleep(0)
        monkeypatch.setattr(LastGood, "write", write)  # from now on, the disk is fast
        free.set()
        await noting
    found = LastGood(tmp_path / "last.json").read()
    assert found is not None
    assert (found.revision, found.file_revision) == (policy("second").revision, "noted")


async def test_broken_copy_is_no_obstacle(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "last.json"
    bad = '{"number": 1, "revision": "a", "text": "x: [", "file_revision": ""}'
    for broken in ("", "{}", "[]", bad, bad.replace("}", ', "candidate": "5 %"}')):
        copy.write_text(broken)
        assert serving([PolicyKeeper(replace(settings, last_good=copy))]) == {"first"}
