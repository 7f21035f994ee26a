"""`triroute audit`: its verbs. None needs a service; `replay` and `what-if` start an engine of their own."""

from __future__ import annotations

import typer

from triroute.router.cli.audit_export import export
from triroute.router.cli.audit_list import list_entries
from triroute.router.cli.audit_prove import prove
from triroute.router.cli.audit_prune import prune
from triroute.router.cli.audit_redact import redact
from triroute.router.cli.audit_replay import replay
from triroute.router.cli.audit_show import show
from triroute.router.cli.audit_stats import stats
from triroute.router.cli.audit_verify import verify
from triroute.router.cli.audit_what_if import what_if

audit = typer.Typer(
    no_args_is_help=True,
    help="Look into the audit log, prove that it was not altered, and run its steps again.",
    epilog="Exit codes: 0 ok, 1 something is wrong, or was not found, 2 usage.",
)
audit.command("list")(list_entries)
audit.command()(show)
audit.command()(verify)
audit.command()(prove)
audit.command()(export)
audit.command()(prune)
audit.command()(replay)
audit.command("what-if")(what_if)
audit.command()(redact)
audit.command()(stats)
