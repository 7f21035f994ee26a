"""Policies on trial in a whole service: who decides, what is recorded, and canaries that are stopped."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from rich.text import Text
from rich.tree import Tree

from triroute.proto import chat_pb2, decoding_pb2, policy_admin_pb2, router_pb2, router_pb2_grpc
from triroute.router.admin.client import AdminClient
from triroute.router.admin.convert import status_of
from triroute.router.cli.record_tree import tree
from triroute.router.errors import CanaryRuns, InvalidRequest, NotFound, RevisionMoved, StoreUnavailable
from triroute.router.policy import parse
from triroute.router.policy.store import Kind
from triroute.router.policy.trial.turn import Trial
from triroute.router.service import Service
from triroute.router.settings import Settings

from . import fake_engine
from .fake_engine import until
from .redis_server import RedisServer

STABLE, CANARY = router_pb2.ARM_STABLE, router_pb2.ARM_CANARY
TEXT = "version: 1\nmetadata: {name: %s}\n%srules: [{id: only-%s, use: {mode: %s}}]\n"
OLD, NEW = TEXT % ("old", "", "old", "autoregressive"), TEXT % ("new", "", "new", "diffusion")
OLD_REVISION, NEW_REVISION = parse(OLD, "old").revision, parse(NEW, "new").revision
FAILS = {"end": "failed", "only": "diffusion"}
SLOW = {"delay": 0.02, "only": "diffusion"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name, for the sockets' sake."""
    with tempfile.TemporaryDirectory(prefix="canary-") as name:
        yield Path(name)


@pytest.fixture
def settings(folder: Path) -> Settings:
    (folder / "policy.yaml").write_text(OLD)
    return Settings(
        listen="127.0.0.1:0",
        policy=folder / "policy.yaml",
        records=folder / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
        admin=f"unix:{folder}/admin.sock",
        stopped=folder / "stopped.json",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with Service(settings) as running:
        yield running


@pytest.fixture
async def admin(service: Service) -> AsyncIterator[AdminClient]:
    async with AdminClient(service.admin.address) as client:
        yield client


def try_(percent: float, text: str = NEW) -> policy_admin_pb2.TryPolicyRequest:
    return policy_admin_pb2.TryPolicyRequest(
        text=text, source="new.yaml", author="ann", reason="to see", percent=percent
    )


def end() -> policy_admin_pb2.EndTrialRequest:
    return policy_admin_pb2.EndTrialRequest(author="ann", reason="seen enough")


async def steps(
    services: list[Service], count: int, session: Callable[[int], str], **script: object
) -> list[router_pb2.Decision]:
    """So many steps, ten at a time, at the services in turn; their decisions."""
    room = asyncio.Semaphore(10)
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(one.address)) for one in services]
        stubs = [router_pb2_grpc.RouterStub(channel) for channel in channels]

        async def step(number: int) -> router_pb2.Decision:
            request = router_pb2.GenerateRequest(
                text=json.dumps(script), sampling=chat_pb2.Sampling(max_tokens=2), session_id=session(number)
            )
            decision = router_pb2.Decision()
            async with room:
                with suppress(grpc.aio.AioRpcError):
                    async for event in stubs[number % len(stubs)].Generate(request):
                        decision = event.decision if event.HasField("decision") else decision
            return decision

        return await asyncio.gather(*map(step, range(count)))


_sessions = itertools.count()


def each_its_own(number: int) -> str:
    return f"session-{next(_sessions)}"


def _steps(trial: Trial) -> int:
    """As far as its router knows of the whole fleet."""
    whole = trial.judge.whole
    return whole.stable.steps + whole.canary.steps


async def record(service: Service, request_id: str) -> router_pb2.Record:
    async with grpc.aio.insecure_channel(service.address) as channel:
        wanted = router_pb2.GetRecordRequest(id=request_id)
        return await router_pb2_grpc.RouterStub(channel).GetRecord(wanted)  # type: ignore[no-any-return]


async def test_shadow_is_recorded_counted_and_ended(service: Service, admin: AdminClient) -> None:
    change = await admin.try_(try_(0))
    assert (change.kind, change.revision, change.candidate.revision) == (
        policy_admin_pb2.CHANGE_KIND_SHADOW,
        OLD_REVISION,
        NEW_REVISION,
    )
    (decision, *_) = await steps([service], 3, each_its_own)
    assert (decision.policy_revision, decision.rule_id, decision.arm) == (OLD_REVISION, "only-old", 0)
    shadow = (await record(service, decision.request_id)).shadow
    assert (shadow.policy_revision, shadow.rule_id, shadow.agrees) == (NEW_REVISION, "only-new", False)
    assert shadow.plan.mode == decoding_pb2.MODE_DIFFUSION
    trial = (await status_of(service.keeper)).trial
    assert [(pair.decided, pair.would_decide, pair.steps) for pair in trial.pairs] == [("only-old", "only-new", 3)]
    assert not trial.HasField("canary")
    await admin.end_trial(end())
    assert not (await status_of(service.keeper)).HasField("trial")
    (decision,) = await steps([service], 1, each_its_own)
    assert not (await record(service, decision.request_id)).HasField("shadow")


async def test_canary_decides_its_share_and_is_promoted(service: Service, admin: AdminClient) -> None:
    await admin.try_(try_(30))
    decided = await steps([service], 60, lambda number: f"s-{number % 20}")
    sides: dict[str, set[int]] = {}
    for number, decision in enumerate(decided):
        assert decision.policy_revision == (NEW_REVISION if decision.arm == CANARY else OLD_REVISION)
        sides.setdefault(f"s-{number % 20}", set()).add(decision.arm)
    assert all(len(side) == 1 for side in sides.values())
    few = {name for name, side in sides.items() if side == {CANARY}}
    assert 0 < len(few) < 20
    await admin.try_(try_(80))
    more = await steps([service], 20, lambda number: f"s-{number}")
    assert few < {f"s-{number}" for number, decision in enumerate(more) if decision.arm == CANARY}
    canary = next(decision for decision in more if decision.arm == CANARY)
    assert (await record(service, canary.request_id)).shadow.policy_revision == OLD_REVISION
    trial = (await status_of(service.keeper)).trial
    assert trial.canary.steps + trial.stable.steps == 80
    change = await admin.promote(policy_admin_pb2.PromotePolicyRequest(author="ann", reason="it is better"))
    assert (change.kind, change.revision, change.previous) == (
        policy_admin_pb2.CHANGE_KIND_PROMOTE,
        NEW_REVISION,
        OLD_REVISION,
    )
    (decision,) = await steps([service], 1, each_its_own)
    assert (decision.policy_revision, decision.arm) == (NEW_REVISION, 0)
    back = await admin.rollback(policy_admin_pb2.RollbackPolicyRequest(author="ann", reason="it was not"))
    assert back.revision == OLD_REVISION


@pytest.mark.parametrize(("script", "why"), [(FAILS, "steps failed"), (SLOW, "milliseconds a token")])
async def test_worse_canary_is_stopped_for_good(
    service: Service, admin: AdminClient, caplog: pytest.LogCaptureFixture, script: dict[str, object], why: str
) -> None:
    await admin.try_(try_(50))
    await until_stopped([service], **script)
    (change, *_) = await service.keeper.store.history(1)
    assert (change.kind, change.revision, change.candidate and change.candidate.stopped) == (
        Kind.ABORT,
        OLD_REVISION,
        True,
    )
    assert why in change.reason
    assert change.author.endswith("(automatic)")
    (line,) = [
        entry for entry in caplog.records if entry.name == "triroute.policy" and entry.levelno >= logging.WARNING
    ]
    assert f"canary {NEW_REVISION[:12]} (new, 50 %) is stopped" in line.message
    assert why in line.message
    decided = await steps([service], 30, each_its_own)
    assert {(decision.policy_revision, decision.arm) for decision in decided} == {(OLD_REVISION, 0)}
    assert (await status_of(service.keeper)).trial.candidate.stopped
    with pytest.raises(NotFound, match="no policy is on trial"):
        await admin.promote(policy_admin_pb2.PromotePolicyRequest(author="ann", reason="hm"))
    await admin.try_(try_(50))  # an operator may
    assert {decision.arm for decision in await steps([service], 30, each_its_own)} == {STABLE, CANARY}


async def until_stopped(services: list[Service], **script: object) -> None:
    async with asyncio.timeout(60):
        while any(service.keeper.live.trial is not None for service in services):
            await steps(services, 40, each_its_own, **script)


async def test_fleet_agrees_on_sides_and_stops_together(
    settings: Settings, redis_server: RedisServer, folder: Path
) -> None:
    async with AsyncExitStack() as stack:
        fleet = [
            await stack.enter_async_context(
                Service(replace(settings, redis=redis_server.url, admin=f"unix:{folder}/{name}.sock", replica=name))
            )
            for name in ("x", "y")
        ]
        admin = await stack.enter_async_context(AdminClient(fleet[0].admin.address))
        await admin.try_(try_(50))
        await until(lambda: all(service.keeper.live.trial is not None for service in fleet))
        decided = await steps(fleet, 40, lambda number: f"s-{number // 2}")
        assert all(one.arm == other.arm for one, other in zip(decided[::2], decided[1::2], strict=True))
        assert {decision.arm for decision in decided} == {STABLE, CANARY}
        trials = [service.keeper.live.trial for service in fleet]
        await until(lambda: all(trial is not None and _steps(trial) == 40 for trial in trials))
        await until_stopped(fleet, **FAILS)
        kinds = [change.kind for change in await fleet[1].keeper.store.history(10)]
        assert kinds == [Kind.ABORT, Kind.CANARY, Kind.SEED]


async def test_canary_outlives_a_store_that_lost_its_data(settings: Settings, redis_server: RedisServer) -> None:
    async with Service(replace(settings, redis=redis_server.url)) as service:
        async with AdminClient(service.admin.address) as admin:
            await admin.try_(try_(50))
        trial = service.keeper.live.trial
        await steps([service], 20, each_its_own)
        redis_server.kill()
        redis_server.start()

        async with asyncio.timeout(20):
            while True:
                try:
                    await service.keeper.follower.catch_up()
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.02)
        latest = await service.keeper.store.latest()
        assert latest is not None
        assert (latest.kind, trial and latest.candidate == trial.candidate) == (Kind.SEED, True)
        assert await service.keeper.store.text(NEW_REVISION) == NEW
        assert service.keeper.live.trial is trial


async def test_canary_is_stopped_here_while_the_store_is_away(settings: Settings, redis_server: RedisServer) -> None:
    async with Service(replace(settings, redis=redis_server.url)) as service:
        async with AdminClient(service.admin.address) as admin:
            await admin.try_(try_(50))
        redis_server.freeze()
        trial = service.keeper.live.trial
        assert trial is not None
        async with asyncio.timeout(60):
            while not trial.stopped:
                await steps([service], 40, each_its_own, **FAILS)
        assert {decision.arm for decision in await steps([service], 20, each_its_own)} == {0}
        redis_server.thaw()
        await until(lambda: service.keeper.live.trial is None)
        assert (await service.keeper.store.history(1))[0].kind is Kind.ABORT


async def test_file_names_a_candidate(settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is watched with the policy, and a stop outlives a restart."""
    rollout = "rollout: {candidate: next.yaml, percent: %d, key: request_id}\n"
    settings.policy.write_text(TEXT % ("old", rollout % 50, "old", "autoregressive"))
    async with Service(settings) as service:
        live = service.keeper.live
        assert (live.trial, live.refused) == (None, 1)
        assert "next.yaml:1:1: can't be read" in live.refusal
        (folder / "next.yaml").write_text(NEW)
        await until(lambda: live.trial is not None)
        trial = live.trial
        assert trial is not None
        assert (trial.candidate.percent, trial.candidate.revision) == (50, NEW_REVISION)
        assert live.policy.revision == OLD_REVISION  # a rollout is no part of what a policy means
        settings.policy.write_text(TEXT % ("old", rollout % 60, "old", "autoregressive"))
        await until(lambda: trial.candidate.percent == 60)
        assert live.trial is trial
        await until_stopped([service], **FAILS)
        settings.policy.write_text(TEXT % ("old", rollout % 70, "old", "autoregressive"))
        (folder / "next.yaml").write_text(NEW.replace("id: only-new", "id: only-newer"))
        await until(lambda: live.trial is not None)  # another candidate is another trial
        (folder / "next.yaml").write_text(NEW)
        await until(lambda: live.candidate is not None and live.candidate.stopped)
    async with Service(settings) as service:
        assert service.keeper.live.trial is None
        assert {decision.arm for decision in await steps([service], 10, each_its_own)} == {0}
    assert any("does not start again by itself" in entry.message for entry in caplog.records)


async def test_what_can_not_be_tried_is_said(service: Service, admin: AdminClient) -> None:
    with pytest.raises(InvalidRequest, match="means the same as the active policy"):
        await admin.try_(try_(5, OLD + "# a comment\n"))
    with pytest.raises(InvalidRequest, match="percent: 101 is outside 0 to 100"):
        await admin.try_(try_(101))
    with pytest.raises(NotFound, match="no policy is on trial"):
        await admin.end_trial(end())
    await admin.try_(try_(5))
    other = TEXT % ("other", "", "other", "autoregressive")
    with pytest.raises(CanaryRuns, match="decides 5 % of the steps; promote or abort it first"):
        await admin.try_(try_(5, other))
    ending = end()
    ending.expected_candidate = OLD_REVISION[:12]
    with pytest.raises(RevisionMoved):
        await admin.end_trial(ending)
    asked = policy_admin_pb2.ApplyPolicyRequest(text=other, author="ann", reason="enough")
    assert not (await admin.apply(asked)).HasField("candidate")  # another active policy ends the trial
    assert service.keeper.live.trial is None
    rollout = "rollout: {candidate: next.yaml, percent: 5}\n"
    asked.text = TEXT % ("old", rollout, "old", "autoregressive")
    with pytest.raises(InvalidRequest, match=r"candidate_text: is missing; the policy's rollout names next\.yaml"):
        await admin.apply(asked)
    asked.candidate_text = NEW
    assert (await admin.apply(asked)).candidate.percent == 5


async def command(service: Service, *arguments: str) -> tuple[int, str, str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TRIROUTE_ADMIN": service.admin.address}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "triroute.router", "policy", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def test_commands(service: Service, folder: Path) -> None:
    new = folder / "new.yaml"
    new.write_text(NEW)
    short = NEW_REVISION[:12]
    code, out, errors = await command(service, "shadow", str(new), "-m", "to compare")
    assert (code, errors) == (0, "")
    assert f"shadow {short} is evaluated, without effect" in out
    await steps([service], 10, each_its_own)
    code, out, _ = await command(service, "status")
    assert (code, "10 of 10 steps would run differently" in out) == (0, True)
    code, out, _ = await command(service, "canary", "start", str(new), "--percent", "50", "-m", "looks good")
    assert code == 0
    assert f"canary {short} decides 50 %, by session_id" in out
    assert "1 of 1 routers follow" in out
    assert (await command(service, "shadow", "off", "-m", "x"))[0] == 1
    decided = await steps([service], 40, each_its_own)
    arms = [decision.arm for decision in decided]
    code, out, _ = await command(service, "canary", "status")
    line = next(line for line in out.splitlines() if line.startswith("canary"))
    assert (code, line.split()[:3]) == (0, ["canary", str(arms.count(CANARY)), "0"])
    canary = next(decision for decision in decided if decision.arm == CANARY)
    code, out, _ = await command(service, "canary", "abort", "-m", "enough", "--candidate", short)
    assert (code, f"canary {short} is stopped and decides nothing" in out) == (0, True)
    code, out, _ = await command(service, "canary", "status")
    assert (code, "enough" in out) == (1, True)
    assert (await command(service, "canary", "promote", "-m", "x"))[0] == 1
    assert "no policy is on trial" in (await command(service, "shadow", "off", "-m", "x"))[2]
    await command(service, "canary", "start", str(new), "-m", "again")
    assert (await command(service, "canary", "promote", "-m", "fine"))[0] == 0
    assert service.policy.revision == NEW_REVISION
    _, out, _ = await command(service, "history")
    kinds = [line.split()[4] for line in out.splitlines()[1:]]
    assert kinds == ["promote", "canary", "abort", "canary", "shadow", "seed"]
    named = folder / "named.yaml"
    rollout = "rollout: {candidate: new.yaml, percent: 5, key: tenant}\n"
    named.write_text(TEXT % ("old", rollout, "old", "autoregressive"))
    code, out, errors = await command(service, "apply", str(named), "-m", "by its file")
    assert (code, errors, f"canary {short} decides 5 %, by tenant" in out) == (0, "", True)
    shown = "\n".join(_lines(tree(await record(service, canary.request_id))))
    assert f"policy revision {NEW_REVISION}, canary" in shown
    assert f"policy {OLD_REVISION[:12]} would have run autoregressive, by rule only-old" in shown


async def test_page_works_as_it_says(service: Service, folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    block = page.partition("## Try a policy")[2].partition("```bash\n")[2].partition("```")[0]
    (folder / "next.yaml").write_text(NEW)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TRIROUTE_ADMIN": service.admin.address}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-ec", block),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert service.policy.revision == NEW_REVISION


def _lines(node: Tree) -> Iterator[str]:
    yield Text.from_markup(str(node.label)).plain
    for child in node.children:
        yield from _lines(child)
