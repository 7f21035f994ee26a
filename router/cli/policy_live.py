"""`triroute policy apply | rollback | history | status`: the policy of running routers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from triroute.proto import policy_admin_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.cli import policy_canary
from triroute.router.cli.exits import FAILED
from triroute.router.cli.operate import (
    PANEL,
    SHORT,
    Admin,
    AsJson,
    Author,
    Expect,
    Reason,
    Wait,
    as_json_text,
    expect_active,
    follow,
    now,
    run,
    who,
)
from triroute.router.cli.policy_shadow import shadow
from triroute.router.cli.screen import console, moment
from triroute.router.cli.trial_view import trial_view
from triroute.router.policy.load import check, read_text
from triroute.router.policy.source import candidate_path
from triroute.router.words import word


def add_to(group: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (apply, rollback, history, status, shadow):
        group.command(rich_help_panel=PANEL)(verb)
    policy_canary.add_to(group)


def apply(
    file: Annotated[Path, typer.Argument(help="Policy YAML.")],
    reason: Reason,
    author: Author = "",
    expect: Expect = None,
    admin: Admin = "",
    wait: Wait = 10.0,
) -> None:
    """Make a policy active; exit code 3 when it is not valid, 6 when another change came first."""
    text, candidate = read_text(file), ""
    policy = check(text, str(file)).policy
    if policy is not None and policy.file.rollout is not None:
        candidate = read_text(candidate_path(policy.file.rollout, file))

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.ApplyPolicyRequest(
            text=text, source=str(file), author=who(author), reason=reason, candidate_text=candidate
        )
        await expect_active(client, asked, expect)
        await follow(client, await client.apply(asked), wait)

    run(admin, call)


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
        asked = policy_admin_pb2.RollbackPolicyRequest(revision=revision, author=who(author), reason=reason)
        await expect_active(client, asked, expect)
        await follow(client, await client.rollback(asked), wait)

    run(admin, call)


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
                print(as_json_text(change, indent=None))  # noqa: T201
        else:
            console.print(_changes(changes))

    run(admin, call)


def status(admin: Admin = "", as_json: AsJson = False) -> None:
    """What is active, and which routers follow; exit code 1 when one does not."""

    async def call(client: AdminClient) -> None:
        state = await now(client)
        if as_json:
            print(as_json_text(state))  # noqa: T201
        else:
            _show(state)
        if state.store_error or not all(replica.accepted for replica in state.replicas):
            raise typer.Exit(FAILED)

    run(admin, call)


def _changes(changes: list[policy_admin_pb2.PolicyChange]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("#", "when", "revision", "how", "candidate", "by", "why"):
        table.add_column(name, no_wrap=name in ("#", "when", "revision", "how", "candidate"))
    for change in changes:
        how = word(policy_admin_pb2.ChangeKind, change.kind)
        table.add_row(
            str(change.number),
            moment(change.at_us),
            change.revision[:SHORT],
            how,
            _candidate(change.candidate),
            escape(change.author),
            escape(change.reason),
        )
    return table


def _candidate(candidate: policy_admin_pb2.PolicyCandidate) -> str:
    if not candidate.revision:
        return ""
    return f"{candidate.revision[:SHORT]} {'stopped' if candidate.stopped else f'{candidate.percent:g} %'}"


def _show(now: policy_admin_pb2.PolicyStatus) -> None:
    grid = Table.grid(padding=(0, 2))
    rows = {
        "active": now.active.revision[:SHORT] or "unknown",
        "store": now.store_error or now.store,  # the error names the store
        "this router": f"{now.replica}, serves {now.name} {now.serving[:SHORT]}",
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
        table.add_row(escape(one.replica), one.serving[:SHORT], follows, escape(one.error))
    console.print(table)
    if now.HasField("trial"):
        console.print(trial_view(now))
