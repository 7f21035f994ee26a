"""`triroute policy shadow CANDIDATE | off`: what another policy would decide, on live steps and without effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.proto import policy_admin_pb2
from triroute.router.admin.client import AdminClient
from triroute.router.cli.operate import Admin, Author, Expect, Reason, Wait, expect_active, follow, now, run, who
from triroute.router.errors import CanaryRuns
from triroute.router.policy.load import read_text

_OFF = "off"


def shadow(
    candidate: Annotated[str, typer.Argument(help="Policy YAML, or `off`.")],
    reason: Reason,
    author: Author = "",
    expect: Expect = None,
    admin: Admin = "",
    wait: Wait = 10.0,
) -> None:
    """Evaluate a policy on live steps, without effect; `triroute policy status` shows where it differs."""
    text = "" if candidate == _OFF else read_text(Path(candidate))

    async def call(client: AdminClient) -> None:
        if candidate == _OFF:
            running = (await now(client)).trial.candidate
            if running.percent and not running.stopped:
                raise CanaryRuns("a canary runs, not a shadow; `triroute policy canary abort` stops it")
            ending = policy_admin_pb2.EndTrialRequest(author=who(author), reason=reason)
            await follow(client, await client.end_trial(ending), wait)
            return
        asked = policy_admin_pb2.TryPolicyRequest(text=text, source=candidate, author=who(author), reason=reason)
        await expect_active(client, asked, expect)
        await follow(client, await client.try_(asked), wait)

    run(admin, call)
