"""`triroute policy`: its verbs. None of these needs a service, an engine or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from triroute.router import policy as policies
from triroute.router.cli.options import DEFAULTS
from triroute.router.cli.policy_diff import diff
from triroute.router.cli.policy_explain import explain
from triroute.router.cli.policy_lint import lint
from triroute.router.cli.policy_simulate import simulate
from triroute.router.cli.policy_tests import run_tests
from triroute.router.cli.policy_tune import tune
from triroute.router.cli.screen import console

EPILOG = (
    "Exit codes: 0 ok, 1 internal, 2 usage, 3 invalid policy, 4 tests failed, 5 lint or coverage below the bar, "
    "6 revision moved."
)

policy = typer.Typer(no_args_is_help=True, help="Write, check and test policies.", epilog=EPILOG)
policy.command()(lint)
policy.command("test")(run_tests)
policy.command()(explain)
policy.command()(diff)
policy.command()(simulate)
policy.command()(tune)


@policy.command()
def check(file: Annotated[Path, typer.Argument(help="Policy YAML.")] = DEFAULTS.policy) -> None:
    """Check a policy file and show its rules; exit code 3 when it is not valid."""
    loaded = policies.load(file)
    table = Table(title=f"{loaded.name}  {loaded.revision[:12]}", title_justify="left")
    for column in ("#", "rule", "when", "use", "enforcement"):
        table.add_column(column, overflow="fold")
    for number, rule in enumerate(loaded.file.rules, start=1):
        when = rule.when.model_dump(mode="json", by_alias=True, exclude_defaults=True) if rule.when else {}
        use = rule.use.model_dump(mode="json", exclude_none=True)
        table.add_row(str(number), rule.id, _words(when) or "always", _words(use), rule.enforcement)
    console.print(table)


def _words(mapping: dict[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in mapping.items())
