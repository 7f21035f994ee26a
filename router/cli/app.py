"""`triroute`: its commands, and how their failures look."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.cli.audit import audit
from triroute.router.cli.bench import bench
from triroute.router.cli.classify import classify
from triroute.router.cli.demo import demo
from triroute.router.cli.eval_adapter import eval_adapter
from triroute.router.cli.exits import FAILED, INVALID_POLICY, REVISION_MOVED
from triroute.router.cli.generate import generate
from triroute.router.cli.lines import LogFormat, configure
from triroute.router.cli.policy import policy
from triroute.router.cli.policy_live import add_to
from triroute.router.cli.screen import errors
from triroute.router.cli.serve import serve
from triroute.router.cli.soak import soak
from triroute.router.cli.stdout import guarded_stdout
from triroute.router.cli.trace import trace
from triroute.router.cli.train_adapter import SETTINGS as TRAIN_SETTINGS
from triroute.router.cli.train_adapter import train_adapter
from triroute.router.cli.train_classifier import train_classifier
from triroute.router.client import CallFailed
from triroute.router.errors import InvalidPolicy, RevisionMoved, TrirouteError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Routes [b]how[/b] a language model decodes, per agent step, with proof.",
    epilog=(
        "Examples:  [b]triroute serve[/b]   "
        "[b]triroute generate 'Plan a move to a new flat'[/b]   [b]triroute trace[/b]"
    ),
)
_SERVICE, _CLIENT, _OPERATOR = "Run a service", "Use it", "Operate it"
app.command(rich_help_panel=_SERVICE)(serve)
app.command(rich_help_panel=_SERVICE)(demo)
app.command(rich_help_panel=_CLIENT)(generate)
app.command(rich_help_panel=_CLIENT)(trace)
add_to(policy)
app.add_typer(policy, name="policy", rich_help_panel=_OPERATOR)
app.add_typer(audit, name="audit", rich_help_panel=_OPERATOR)
app.add_typer(classify, name="classify", rich_help_panel=_OPERATOR)
app.command(rich_help_panel=_OPERATOR)(train_classifier)
app.command(rich_help_panel=_OPERATOR)(bench)
app.command(rich_help_panel=_OPERATOR)(soak)
app.command(rich_help_panel=_OPERATOR)(eval_adapter)
app.command(rich_help_panel=_OPERATOR, context_settings=TRAIN_SETTINGS, add_help_option=False)(train_adapter)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"triroute {version('triroute')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what the service does, and each step that it served.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            envvar="TRIROUTE_LOG_FORMAT", help="How: `auto` is JSON for a service that writes to no terminal."
        ),
    ] = LogFormat.AUTO,
) -> None:
    configure(log_format, context.invoked_subcommand == "serve", verbose)


def main() -> None:
    """The console script. 0 when all went well, 1 for a failure, 2 for wrong usage, 3 for an invalid policy.

    6 is for a policy that somebody else changed first. A stdout that can't be written is a failure.
    """
    with guarded_stdout():
        _run()


def _run() -> None:
    try:
        app()
    except InvalidPolicy as error:
        errors.print(f"[red]The policy is not valid[/red]\n{escape(error.message)}", soft_wrap=True)
        sys.exit(INVALID_POLICY)
    except TrirouteError as error:
        errors.print(f"[red]{error.reason}[/red] {escape(error.message)}", soft_wrap=True)
        sys.exit(REVISION_MOVED if isinstance(error, RevisionMoved) else FAILED)
    except CallFailed as error:
        errors.print(f"[red]{error.code}[/red] {escape(error.message)}", soft_wrap=True)
        sys.exit(FAILED)
