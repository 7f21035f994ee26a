"""`triroute audit`: its verbs. None of these needs a service, an engine or a model."""

from __future__ import annotations

import typer

from triroute.router.cli.audit_export import export
from triroute.router.cli.audit_list import list_entries
from triroute.router.cli.audit_prove import prove
from triroute.router.cli.audit_prune import prune
from triroute.router.cli.audit_show import show
from triroute.router.cli.audit_verify import verify

audit = typer.Typer(
    no_args_is_help=True,
    help="Look into the audit log, and prove that it was not altered.",
    epilog="Exit codes: 0 ok, 1 something is wrong, or was not found, 2 usage.",
)
audit.command("list")(list_entries)
audit.command()(show)
audit.command()(verify)
audit.command()(prove)
audit.command()(export)
audit.command()(prune)
