"""`triroute policy canary start | status | promote | abort`: a candidate that decides for a share of the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.proto import policy_admin_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.cli.exits import FAILED
from triroute.router.cli.operate import (
    PANEL,
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
from triroute.router.cli.screen import console
from triroute.router.cli.trial_view import trial_view
from triroute.router.policy.load import read_text
from triroute.router.policy.trial import Candidate, Key

_DEFAULTS = Candidate("")

canary = typer.Typer(
    no_args_is_help=True, help="Let a policy decide for a share of the steps, and stop it when it is worse."
)
Candidate_ = Annotated[
    str | None, typer.Option("--candidate", help="The revision that must be on trial.", show_default="whichever is")
]


def add_to(group: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (start, status, promote, abort):
        canary.command()(verb)
    group.add_typer(canary, name="canary", rich_help_panel=PANEL)


def start(
    file: Annotated[Path, typer.Argument(help="Policy YAML of the candidate.")],
    reason: Reason,
    percent: Annotated[float, typer.Option(min=0, max=100, help="Share of the keys that it decides.")] = 5.0,
    key: Annotated[Key, typer.Option(help="What keeps its side.")] = Key.SESSION_ID,
    error_ratio: Annotated[
        float, typer.Option(min=1, max=100, help="Stop it when its odds of a failed step are more times as high.")
    ] = _DEFAULTS.error_ratio,
    latency_ratio: Annotated[
        float, typer.Option(min=1, max=100, help="Stop it when a token takes more times as long.")
    ] = _DEFAULTS.latency_ratio,
    author: Author = "",
    expect: Expect = None,
    admin: Admin = "",
    wait: Wait = 10.0,
) -> None:
    """Start a canary, or change the percentage of the one that runs."""
    text = read_text(file)

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.TryPolicyRequest(
            text=text,
            source=str(file),
            author=who(author),
            reason=reason,
            percent=percent,
            key=policy_admin_pb2.CanaryKey.Value(f"CANARY_KEY_{key.name}"),
            error_ratio=error_ratio,
            latency_ratio=latency_ratio,
        )
        await expect_active(client, asked, expect)
        await follow(client, await client.try_(asked), wait)

    run(admin, call)


def status(admin: Admin = "", as_json: AsJson = False) -> None:
    """How the candidate does beside the active policy; exit code 1 when none is on trial, or it was stopped."""

    async def call(client: AdminClient) -> None:
        state = await now(client)
        trial = state.trial
        if as_json:
            print(as_json_text(trial))  # noqa: T201
        else:
            console.print(trial_view(state) if trial.candidate.revision else "no policy is on trial")
        if not trial.candidate.revision or trial.candidate.stopped:
            raise typer.Exit(FAILED)

    run(admin, call)


def promote(
    reason: Reason, candidate: Candidate_ = None, author: Author = "", admin: Admin = "", wait: Wait = 10.0
) -> None:
    """Make the candidate the active policy."""

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.PromotePolicyRequest(author=who(author), reason=reason, expected_candidate=candidate)
        await follow(client, await client.promote(asked), wait)

    run(admin, call)


def abort(
    reason: Reason, candidate: Candidate_ = None, author: Author = "", admin: Admin = "", wait: Wait = 10.0
) -> None:
    """Stop the canary: the active policy decides all steps again."""

    async def call(client: AdminClient) -> None:
        asked = policy_admin_pb2.EndTrialRequest(author=who(author), reason=reason, expected_candidate=candidate)
        await follow(client, await client.end_trial(asked), wait)

    run(admin, call)
