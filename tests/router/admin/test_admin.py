"""PolicyAdmin over its own socket, and the commands that talk to it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from triroute.proto import policy_admin_pb2, policy_admin_pb2_grpc, router_pb2, router_pb2_grpc
from triroute.router.admin.client import AdminClient
from triroute.router.errors import InvalidPolicy, InvalidRequest, NotFound, RevisionMoved, StartFailed, StoreUnavailable
from triroute.router.service import Service
from triroute.router.settings import Settings

from .. import fake_engine
from ..policy.policies import policy, text


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name, for the socket's sake."""
    with tempfile.TemporaryDirectory(prefix="admin-") as name:
        yield Path(name)


@pytest.fixture
def settings(folder: Path) -> Settings:
    file = folder / "policy.yaml"
    file.write_text(text("first"))
    return Settings(
        listen="127.0.0.1:0",
        policy=file,
        records=folder / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
        admin=f"unix:{folder}/admin.sock",
        replica="x",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with Service(settings) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[AdminClient]:
    async with AdminClient(service.admin.address) as connected:
        yield connected


def ask(name: str, expected: str | None = None, **fields: str) -> policy_admin_pb2.ApplyPolicyRequest:
    given = {"text": text(name), "source": f"{name}.yaml", "author": "ann", "reason": "to see"} | fields
    return policy_admin_pb2.ApplyPolicyRequest(**given, expected_revision=expected)


async def decided(service: Service) -> str:
    async with grpc.aio.insecure_channel(service.address) as channel:
        decision = await router_pb2_grpc.RouterStub(channel).Decide(router_pb2.GenerateRequest(text="hello"))
    return str(decision.policy_revision)


async def test_apply_list_get_and_rollback(service: Service, client: AdminClient) -> None:
    first, second = policy("first").revision, policy("second").revision
    assert await decided(service) == first
    change = await client.apply(ask("second", first[:12]))
    assert (change.number, change.revision, change.previous, change.author) == (1, second, first, "ann")
    assert await decided(service) == second
    assert (await client.get()).text == text("second")
    assert (await client.get(first[:8])).text == text("first")
    back = await client.rollback(policy_admin_pb2.RollbackPolicyRequest(author="bob", reason="worse"))
    assert (back.number, back.revision, back.kind) == (2, first, policy_admin_pb2.CHANGE_KIND_ROLLBACK)
    assert await decided(service) == first
    assert [(one.number, one.reason) for one in await client.history()][:2] == [(2, "worse"), (1, "to see")]
    with pytest.raises(NotFound):
        await client.get("0123456789")


async def test_second_change_is_refused(service: Service, client: AdminClient) -> None:
    first = policy("first").revision
    await client.apply(ask("second", first))
    with pytest.raises(RevisionMoved, match="another change came first"):
        await client.apply(ask("third", first))
    assert await decided(service) == policy("second").revision


async def test_bad_policy_is_named_with_its_place(service: Service, client: AdminClient) -> None:
    broken = text("bad").replace("use:", "uze:")
    with pytest.raises(InvalidPolicy, match=r"bad\.yaml:5:5: .*'uze'"):
        await client.apply(ask("bad", text=broken))
    answer = await client.validate(broken, "bad.yaml")
    assert not answer.valid
    assert len(answer.problems) == 2
    assert all(problem.startswith("bad.yaml:") for problem in answer.problems)
    good = await client.validate(text("good"), "good.yaml")
    assert (good.valid, good.revision, good.name) == (True, policy("good").revision, "good")
    assert await decided(service) == policy("first").revision


async def test_author_and_reason_are_asked_for(client: AdminClient) -> None:
    with pytest.raises(InvalidRequest, match=r"author: is missing.*reason: has 600 characters"):
        await client.apply(ask("second", author=" ", reason="x" * 600))
    with pytest.raises(InvalidRequest, match="expected_revision: 'abc' is too short"):
        await client.apply(ask("second", "abc"))


async def test_watch_tells_of_each_change(service: Service, client: AdminClient) -> None:
    async with asyncio.timeout(20), aclosing(client.watch()) as states:
        state = await anext(states)
        assert (state.name, state.store, state.replica) == ("first", "memory", "x")
        await client.apply(ask("second"))
        while state.replicas[0].number != 1:
            state = await anext(states)
        assert (state.serving, state.active.revision) == (policy("second").revision,) * 2
        service.settings.policy.write_text("rules: [")
        while not state.refused:
            state = await anext(states)
        assert "policy.yaml:1:" in state.last_refusal


async def test_only_the_owner_reaches_it(service: Service, folder: Path) -> None:
    assert stat.S_IMODE((folder / "admin.sock").stat().st_mode) == 0o600
    async with grpc.aio.insecure_channel(service.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await policy_admin_pb2_grpc.PolicyAdminStub(channel).Get(policy_admin_pb2.GetPolicyRequest())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_addresses_that_can_not_be_had(service: Service, settings: Settings, folder: Path) -> None:
    for address, why in (
        (settings.admin, "another service has"),
        (f"unix:{folder}/{'x' * 100}", "too long"),
        ("nonsense", "can't listen"),
    ):
        with pytest.raises(StartFailed, match=why):
            async with Service(replace(settings, admin=address)):
                pass
    async with AdminClient(f"unix:{folder}/nobody.sock") as nobody:
        with pytest.raises(StoreUnavailable, match="no PolicyAdmin answers"):
            await nobody.get()


async def test_store_that_is_away_refuses_changes_and_serves_on(settings: Settings, folder: Path) -> None:
    async with Service(replace(settings, redis=f"unix://{folder}/nobody.sock")) as service:
        assert await decided(service) == policy("first").revision
        async with AdminClient(service.admin.address) as client:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await client.apply(ask("second"))
            async with aclosing(client.watch()) as states:
                assert "does not answer" in (await anext(states)).store_error


async def command(service: Service, *arguments: str) -> tuple[int, str, str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "TRIROUTE_ADMIN": service.admin.address}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "triroute.router", "policy", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def test_commands(service: Service, folder: Path) -> None:
    first, second, bad = policy("first").revision, folder / "second.yaml", folder / "bad.yaml"
    second.write_text(text("second"))
    bad.write_text(text("bad").replace("mode", "mod"))
    code, out, errors = await command(service, "apply", str(second), "-m", "to see", "--expect", first[:12])
    assert (code, errors) == (0, "")
    assert "1 of 1 routers follow" in out
    code, _, errors = await command(
        service, "apply", str(second.with_name("policy.yaml")), "-m", "x", "--expect", first
    )
    assert (code, "REVISION_MOVED" in errors) == (6, True)
    code, _, errors = await command(service, "apply", str(bad), "-m", "to break it")
    assert (code, f"{bad}:5:11:" in errors) == (3, True)
    assert (await command(service, "apply", str(second)))[0] == 2  # no reason
    code, _, errors = await command(
        service, "rollback", "-m", "x", "--expect", ""
    )  # as from a variable that is not set
    assert (code, "--expect is empty" in errors) == (1, True)
    code, out, _ = await command(service, "status")
    assert (code, f"serves second {policy('second').revision[:12]}" in out) == (0, True)
    assert (await command(service, "rollback", "-m", "worse"))[0] == 0
    code, out, _ = await command(service, "history")
    assert [line.split()[0] for line in out.splitlines()] == ["#", "2", "1", "0"]
    _, out, _ = await command(service, "history", "--json")
    assert [json.loads(line)["number"] for line in out.splitlines()] == ["2", "1", "0"]
    assert (await command(service, "history", policy("second").revision[:12]))[1] == text("second")
    assert await decided(service) == first


async def test_socket_of_a_crashed_router_is_taken_over(settings: Settings, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "admin.sock"))
    async with Service(settings) as service, AdminClient(service.admin.address) as client:
        assert (await client.get()).text == text("first")
    assert not (folder / "admin.sock").exists()
