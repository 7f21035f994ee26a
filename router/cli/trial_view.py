"""A trial for people: what is tried, how both arms do, and where the decisions differ."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from triroute.proto import policy_admin_pb2
from triroute.router.cli.operate import on_trial

_MOST_PAIRS = 10


def trial_view(status: policy_admin_pb2.PolicyStatus) -> RenderableType:
    """Everything that is known of it."""
    trial = status.trial
    name = f" ({escape(trial.name)})" if trial.name else ""
    parts: list[RenderableType] = [f"[b]on trial[/b]  {on_trial(trial.candidate)}{name}"]
    if trial.candidate.stopped:
        aborted = status.active.kind == policy_admin_pb2.CHANGE_KIND_ABORT
        why = f"by {status.active.author}: {status.active.reason}" if aborted else "before"
        return Group(*parts, f"[red]stopped[/red] {escape(why)}")
    if trial.HasField("canary"):
        limits = (
            f"{trial.candidate.error_ratio:g} times the errors, or {trial.candidate.latency_ratio:g} times the time"
        )
        parts += [_arms(trial), f"[dim]it is stopped when it shows, beyond doubt, {limits}[/dim]"]
    agree, differ = (sum(pair.steps for pair in trial.pairs if pair.agrees is same) for same in (True, False))
    if agree or differ:
        parts.append(f"{differ} of {agree + differ} steps would run differently under the other policy")
    if differ:
        parts.append(_pairs([pair for pair in trial.pairs if not pair.agrees][:_MOST_PAIRS]))
    if trial.shadow_failed or trial.shadow_slow:
        counts = (
            f"{trial.shadow_failed} failed, {trial.shadow_slow} took over 2 ms, {trial.shadow_skipped} were left out"
        )
        parts.append(f"[yellow]of the comparisons, {counts}[/yellow]")
    return Group(*parts)


def _arms(trial: policy_admin_pb2.PolicyTrial) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("arm", "steps", "failed", "ms a token: p50", "p95"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name, arm in (("active", trial.stable), ("canary", trial.canary)):
        share = f"{arm.failed} ({arm.failed / max(arm.steps, 1):.2%})"
        table.add_row(name, str(arm.steps), share, f"{arm.p50_ms_a_token:.3g}", f"{arm.p95_ms_a_token:.3g}")
    return table


def _pairs(pairs: list[policy_admin_pb2.RulePair]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("decided")
    table.add_column("would decide")
    table.add_column("steps", justify="right")
    for pair in pairs:
        table.add_row(escape(pair.decided), escape(pair.would_decide), str(pair.steps))
    return table
