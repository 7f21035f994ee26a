"""`triroute policy test`: run the cases beside policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from triroute.router.cli.exits import BELOW_THE_BAR, TESTS_FAILED
from triroute.router.cli.options import DEFAULTS
from triroute.router.cli.screen import console, errors
from triroute.router.errors import InvalidPolicy
from triroute.router.policy import load
from triroute.router.policy.testing import Outcome, Suite, beside, junit, read_suite, run
from triroute.router.policy.testing.cases import SUFFIX


def run_tests(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Policies, test files, or folders of them.", show_default="the policy that ships"),
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of rules reached.", show_default="the test file's")
    ] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    only: Annotated[str, typer.Option("--only", help="Run cases with this in their name; no coverage then.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show cases that pass, too.")] = False,
) -> None:
    """Run the cases of NAME_test.yaml. Exit code 4 when one fails or none ran, 5 when too few rules are reached."""
    suites = [read_suite(path) for path in _test_files(files or [DEFAULTS.policy])]
    outcomes = []
    for suite in suites:
        chosen = [one for one in suite.tests if only in one.name]
        outcomes.append((suite, run(load(suite.policy), chosen)))
    for suite, outcome in outcomes:
        _show(suite, outcome, verbose)
    if junit_file is not None:
        try:
            junit.write(junit_file, [(str(suite.path), outcome) for suite, outcome in outcomes])
        except OSError as error:
            raise typer.BadParameter(f"{junit_file}: {error.strerror}", param_hint="--junit") from error
    if not any(outcome.results for _, outcome in outcomes):
        errors.print("[red]no test ran[/red]; write cases, or look at --only", soft_wrap=True)
        raise typer.Exit(TESTS_FAILED)
    if any(outcome.failed for _, outcome in outcomes):
        raise typer.Exit(TESTS_FAILED)
    if not only and any(_missing(suite, outcome, coverage) for suite, outcome in outcomes):
        raise typer.Exit(BELOW_THE_BAR)


def _missing(suite: Suite, outcome: Outcome, coverage: float | None) -> bool:
    return outcome.coverage < (suite.coverage if coverage is None else coverage)


def _test_files(files: list[Path]) -> list[Path]:
    """The test files of what was named. Raises InvalidPolicy where there is none."""
    found: list[Path] = []
    for file in files:
        if file.is_dir():
            found += sorted(file.glob(f"*{SUFFIX}.yaml"))
        else:
            found.append(file if file.stem.endswith(SUFFIX) else beside(file))
    missing = next((path for path in found if not path.exists()), None)
    if missing is not None:
        raise InvalidPolicy(f"{missing}:1:1: there is no such test file; write it beside the policy")
    return found


def _show(suite: Suite, outcome: Outcome, verbose: bool) -> None:
    for result in outcome.results:
        place = f"{suite.path}:{result.test.line}:{result.test.column}"
        if result.problems:
            console.print(f"[red]✗[/red] {escape(result.test.name)}  [dim]{escape(place)}[/dim]", soft_wrap=True)
            for problem in result.problems:
                console.print(f"    {escape(problem)}", soft_wrap=True)
        elif verbose:
            rule = result.decision.rule_id if result.decision else "refused"
            console.print(f"[green]✓[/green] {escape(result.test.name)}  [dim]{escape(rule)}[/dim]", soft_wrap=True)
    passed = len(outcome.results) - outcome.failed
    reached = f"{len(outcome.reached)} of {len(outcome.rules)} rules reached"
    missed = [rule for rule in outcome.rules if rule not in outcome.reached]
    reached += f" (not {', '.join(missed)})" if missed else ""
    console.print(
        f"{suite.policy}: {passed} passed, {outcome.failed} failed; {reached}", soft_wrap=True, highlight=False
    )
