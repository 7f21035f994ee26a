"""`triroute policy apply | rollback | history | status`: the policy of running routers."""

from __future__ import annotations

import asyncio
import datetime
import getpass
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.markup import escape
from rich.table import Table

from triroute.proto import policy_admin_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.cli.exits import FAILED
from triroute.router.cli.options import DEFAULTS
from triroute.router.cli.screen import console, errors
from triroute.router.policy.load import read_text
from triroute.router.settings import admin_socket

_SHORT = 12
_PANEL = "Of running routers"
_DEFAULT_PORT = int(DEFAULTS.listen.rpartition(":")[2])

Asked = policy_admin_pb2.ApplyPolicyRequest | policy_admin_pb2.RollbackPolicyRequest
Admin = Annotated[
    str,
    typer.Option(
        envvar="TRIROUTE_ADMIN",
        help="PolicyAdmin's address: unix:PATH or HOST:PORT.",
        show_default="the socket of the service on the default port",
    ),
]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it stays in the history.")]
Author = Annotated[str, typer.Option(help="Who asks.", show_default="your login name")]
Expect = Annotated[
    str | None, typer.Option(help="The revision that must be active now.", show_default="the one that is active now")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds that every router gets to follow; 0 does not wait.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def add_to(group: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (apply, rollback, history, status):
        group.command(rich_help_panel=_PANEL)(verb)


def apply(
    file: Annotated[Path, typer.Argument(help="Policy YAML.")],
    reason: Reason,
    author: Author = "",
    expect: Expect = None,
    admin: Admin = "",
    wait: Wait = 10.0,
) -> None:
    """Make a policy active; exit code 3 when it is not valid, 6 when another change came first."""
    text = read_text(file)

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.ApplyPolicyRequest(text=text, source=str(file), author=_who(author), reason=reason)
        await _expect(client, asked, expect)
        await _follow(client, await client.apply(asked), wait)

    _run(admin, call)


def rollback(
    reason: Reason,
    revision: Annotated[
        str, typer.Argument(help="An earlier revision, or its beginning.", show_default="the one before")
    ] = "",
    author: Author = "",
    expect: Expect = None,
    admin: Admin = "",
    wait: Wait = 10.0,
) -> None:
    """Make an earlier revision active; exit code 6 when another change came first."""

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.RollbackPolicyRequest(revision=revision, author=_who(author), reason=reason)
        await _expect(client, asked, expect)
        await _follow(client, await client.rollback(asked), wait)

    _run(admin, call)


def history(
    revision: Annotated[str | None, typer.Argument(help="Show this revision's text instead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many changes.")] = 20,
    admin: Admin = "",
    as_json: AsJson = False,
) -> None:
    """The changes so far, latest first; or the text of one revision."""

    async def call(client: AdminClient) -> None:
        if revision is not None:
            print((await client.get(revision)).text, end="")  # noqa: T201
            return
        changes = await client.history(limit)
        if as_json:
            for change in changes:
                print(json_format.MessageToJson(change, indent=None, preserving_proto_field_name=True))  # noqa: T201
        else:
            console.print(_changes(changes))

    _run(admin, call)


def status(admin: Admin = "", as_json: AsJson = False) -> None:
    """What is active, and which routers follow; exit code 1 when one does not."""

    async def call(client: AdminClient) -> None:
        now = await _now(client)
        if as_json:
            print(json_format.MessageToJson(now, preserving_proto_field_name=True))  # noqa: T201
        else:
            _show(now)
        if now.store_error or not all(replica.accepted for replica in now.replicas):
            raise typer.Exit(FAILED)

    _run(admin, call)


def _run(admin: str, call: Callable[[AdminClient], Awaitable[None]]) -> None:
    address = admin or f"unix:{admin_socket(_DEFAULT_PORT)}"

    async def connected() -> None:
        async with AdminClient(address) as client:
            await call(client)

    asyncio.run(connected())


async def _now(client: AdminClient) -> policy_admin_pb2.PolicyStatus:
    async with aclosing(client.watch()) as states:
        return await anext(states)


async def _expect(client: AdminClient, asked: Asked, revision: str | None) -> None:
    """Have the change fail unless this revision, or the one that is active now, is active still."""
    expected = revision or (await _now(client)).active.revision
    if expected:
        asked.expected_revision = expected


async def _follow(client: AdminClient, change: policy_admin_pb2.PolicyChange, seconds: float) -> None:
    """Wait until every router has said that it follows. Exits with 1 when one refuses, or time is up."""
    console.print(f"active: {change.revision[:_SHORT]}, change {change.number}, was {change.previous[:_SHORT]}")
    behind: list[policy_admin_pb2.ReplicaStatus] = []
    try:
        async with asyncio.timeout(seconds or None), aclosing(client.watch()) as states:
            async for state in states:
                behind = [one for one in state.replicas if one.number < change.number]
                refusing = [one for one in state.replicas if one.number == change.number and not one.accepted]
                if refusing:
                    for one in refusing:
                        errors.print(
                            f"[red]{escape(one.replica)} refuses it[/red]\n{escape(one.error)}", soft_wrap=True
                        )
                    raise typer.Exit(FAILED)
                if not seconds or (state.replicas and not behind):
                    console.print(f"{len(state.replicas) - len(behind)} of {len(state.replicas)} routers follow")
                    return
    except TimeoutError:
        names = ", ".join(one.replica for one in behind)
        errors.print(f"[red]not followed after {seconds:g} s[/red] by {escape(names)}; see `triroute policy status`")
        raise typer.Exit(FAILED) from None


def _who(author: str) -> str:
    return author or os.environ.get("SUDO_USER") or getpass.getuser()


def _changes(changes: list[policy_admin_pb2.PolicyChange]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("#", "when", "revision", "how", "by", "why"):
        table.add_column(name, no_wrap=name in ("#", "when", "revision", "how"))
    for change in changes:
        how = policy_admin_pb2.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_").lower()
        table.add_row(
            str(change.number),
            datetime.datetime.fromtimestamp(change.at_us / 1e6).strftime("%m-%d %H:%M:%S"),
            change.revision[:_SHORT],
            how,
            escape(change.author),
            escape(change.reason),
        )
    return table


def _show(now: policy_admin_pb2.PolicyStatus) -> None:
    grid = Table.grid(padding=(0, 2))
    rows = {
        "active": now.active.revision[:_SHORT] or "unknown",
        "store": f"{now.store}: {now.store_error}" if now.store_error else now.store,
        "this router": f"{now.replica}, serves {now.name} {now.serving[:_SHORT]}",
        "refused": f"{now.refused}, the last one since\n{now.last_refusal}" if now.refused else "0",
    }
    for name, value in rows.items():
        grid.add_row(f"[dim]{name}[/dim]", escape(value))
    console.print(grid)
    table = Table(box=None, pad_edge=False)
    for name in ("router", "serves", "follows change", "error"):
        table.add_column(name)
    for one in now.replicas:
        follows = f"{one.number} {'✓' if one.accepted else '✗'}"
        table.add_row(escape(one.replica), one.serving[:_SHORT], follows, escape(one.error))
    console.print(table)
