"""Interleaved rounds: each round runs every measure, a measure runs its engines in turn, and only they are compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from triroute.bench.fleet import Fleet
from triroute.bench.kinds import Unavailable, require
from triroute.bench.machine import Machine, this_machine
from triroute.bench.measure import Measure, Outcome, Round, Scale, Setting, Turn
from triroute.bench.measures import MEASURES, QUICK
from triroute.bench.neighbours import Neighbours
from triroute.bench.plot import write_plot
from triroute.bench.prompts import Prompts
from triroute.bench.report import table, write_json
from triroute.engine.checkpoints import default_checkpoint
from triroute.router.cli.screen import console, errors
from triroute.router.errors import InvalidRequest, StartFailed

FULL_ROUNDS, QUICK_ROUNDS = 5, 3
_CROWDED = 0.05
_QUICK_SCALE = Scale(tokens=64, cases=3, storm_seconds=6.0)


def run(
    only: Sequence[str], rounds: int | None, quick: bool, json: Path | None, plot: Path | None
) -> tuple[Outcome, ...]:
    """Measure, show, write. Raises InvalidRequest for a name that is not known, StartFailed without a model."""
    measures = _chosen(only, quick)
    rounds = rounds or (QUICK_ROUNDS if quick else FULL_ROUNDS)
    scale = _QUICK_SCALE if quick else Scale()
    try:
        model = default_checkpoint()
    except Exception as error:
        raise StartFailed(str(error)) from error
    machine = this_machine(threads=os.cpu_count() or 1)
    console.print(f"{machine}\n{model.name}, interleaved rounds: {rounds}", highlight=False)
    neighbours = Neighbours()
    outcomes: tuple[Outcome, ...] = ()
    for done, outcomes in _measure(measures, rounds, scale, model, machine):
        if json is not None:  # after each round: a run that is cut short keeps what it measured
            write_json(json, outcomes, Setting(machine, model.name, done))
    share = neighbours.share()
    setting = Setting(machine, model.name, rounds, share)
    console.print(table(outcomes))
    if share > _CROWDED:
        errors.print(f"[yellow]Other processes used {share:.0%} of the cores meanwhile; run it again alone.")
    if json is not None:
        write_json(json, outcomes, setting)
    if plot is not None:
        write_plot(plot, outcomes, setting)
    return outcomes


def missed(outcomes: Sequence[Outcome]) -> list[str]:
    """Measures with a hard target that was not met, or not measured."""
    return [outcome.measure.name for outcome in outcomes if outcome.measure.target.hard and not outcome.met]


def _chosen(only: Sequence[str], quick: bool) -> tuple[Measure, ...]:
    known = {measure.name: measure for measure in MEASURES}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InvalidRequest(f"no measure {unknown[0]!r}; known are {', '.join(known)}")
    names = only or (QUICK if quick else tuple(known))
    return tuple(known[name] for name in known if name in names)


def _measure(
    measures: Sequence[Measure], rounds: int, scale: Scale, model: Path, machine: Machine
) -> Iterator[tuple[int, tuple[Outcome, ...]]]:
    """What is known after each round, with the number of rounds done."""
    found: dict[str, list[Round]] = {measure.name: [] for measure in measures}
    problems: dict[str, str] = {}
    prompts = Prompts(model)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Fleet(model, machine.threads) as fleet, Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("starting", total=len(measures) * (rounds + 1))
        for number in range(-1, rounds):
            for measure in measures:
                stage = "loading" if number < 0 else f"round {number + 1} of {rounds}"
                progress.update(task, description=f"{stage}: {measure.name}")
                try:
                    if number < 0:
                        _load(measure, fleet)
                    elif measure.name not in problems:
                        found[measure.name].append(measure.round(Turn(number, fleet, prompts, scale)))
                except Unavailable as error:
                    problems[measure.name] = str(error)
                progress.advance(task)
            if number >= 0:
                yield (
                    number + 1,
                    tuple(_outcome(each, found[each.name], problems.get(each.name, "")) for each in measures),
                )


def _load(measure: Measure, fleet: Fleet) -> None:
    for kind in measure.kinds:
        require(kind)
    for kind in measure.kinds:
        fleet[kind]


def _outcome(measure: Measure, rounds: Sequence[Round], problem: str) -> Outcome:
    """A measure that failed in some round has no figure: a median of what worked would hide it."""
    return Outcome(measure, () if problem else tuple(rounds), problem)
