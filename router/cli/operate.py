"""What verbs share that change the policy of running routers: options, connecting, and waiting for all to follow."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.markup import escape

from triroute.proto import policy_admin_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.cli.exits import FAILED
from triroute.router.cli.options import DEFAULTS
from triroute.router.cli.screen import console, errors
from triroute.router.errors import InvalidRequest
from triroute.router.settings import admin_socket
from triroute.router.words import word

SHORT = 12
PANEL = "Of running routers"
_ALL = 100  # percent
_DEFAULT_PORT = int(DEFAULTS.listen.rpartition(":")[2])

Asked = policy_admin_pb2.ApplyPolicyRequest | policy_admin_pb2.RollbackPolicyRequest | policy_admin_pb2.TryPolicyRequest
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


def run(admin: str, call: Callable[[AdminClient], Awaitable[None]]) -> None:
    """Call PolicyAdmin at an address, by default that of the service on the default port."""
    address = admin or f"unix:{admin_socket(_DEFAULT_PORT)}"

    async def connected() -> None:
        async with AdminClient(address) as client:
            await call(client)

    asyncio.run(connected())


async def now(client: AdminClient) -> policy_admin_pb2.PolicyStatus:
    """The state, as the router that answers sees it."""
    async with aclosing(client.watch()) as states:
        return await anext(states)


async def expect_active(client: AdminClient, asked: Asked, revision: str | None) -> None:
    """Have the change fail unless this revision, or the one that is active now, is active still. Raises InvalidRequest.

    An empty one is most likely a variable of a script that was never set: it must not stand for any revision.
    """
    if revision == "":
        raise InvalidRequest("--expect is empty; name a revision, or leave it out")
    expected = revision or (await now(client)).active.revision
    if expected:
        asked.expected_revision = expected


async def follow(client: AdminClient, change: policy_admin_pb2.PolicyChange, seconds: float) -> None:
    """Wait until every router has said that it follows. Exits with 1 when one refuses, or time is up."""
    console.print(_told(change))
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


def _told(change: policy_admin_pb2.PolicyChange) -> str:
    before = f", was {change.previous[:SHORT]}" if change.previous else ""
    active = f"active: {change.revision[:SHORT]}, change {change.number}{before}"
    return f"{active}\n{on_trial(change.candidate)}" if change.HasField("candidate") else active


def on_trial(candidate: policy_admin_pb2.PolicyCandidate) -> str:
    """What a candidate does, in words."""
    name = candidate.revision[:SHORT]
    if candidate.stopped:
        return f"canary {name} is stopped and decides nothing"
    if not candidate.percent:
        return f"shadow {name} is evaluated, without effect"
    key = word(policy_admin_pb2.CanaryKey, candidate.key)
    alone = "; no step is left to compare with, so that nothing can stop it" if candidate.percent == _ALL else ""
    return f"canary {name} decides {candidate.percent:g} %, by {key}{alone}"


def as_json_text(message: Message, indent: int | None = 2) -> str:
    """With each field, zeros too: a program that reads `number` or `percent` finds it."""
    return json_format.MessageToJson(
        message, indent=indent, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def who(author: str) -> str:
    """The author, or who is logged in."""
    return author or os.environ.get("SUDO_USER") or getpass.getuser()
