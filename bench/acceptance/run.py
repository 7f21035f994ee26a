"""The acceptance report: by workload, block length and temperature; table, JSON and plot."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from triroute.bench.acceptance.measure import Setup, Tally, measure
from triroute.bench.acceptance.plot import write_plot
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import EngineError
from triroute.engine.training.prompts import HELD_OUT, Prompt, read_prompts
from triroute.engine.types import ModeName

BLOCK_LENGTHS, TEMPERATURES = (4, 8, 16, 32), (0.0, 0.7, 1.0)
LINEAR, QUADRATIC = ModeName.LINEAR_SPECULATION, ModeName.QUADRATIC_SPECULATION


@dataclass(frozen=True, slots=True)
class Asked:
    """What to evaluate. `limit` prompts a workload at most; None takes all."""

    checkpoint: Path | None = None
    adapter: Path | None = None
    prompts: Path | None = None
    tokens: int = 96
    limit: int | None = None


def run(asked: Asked, report: Path | None, plot: Path | None) -> None:
    """Measure, print, write. Raises ValueError for bad input."""
    try:
        prompts = list(_limited(read_prompts(asked.prompts or HELD_OUT), asked.limit))
        engine = Engine.load(asked.checkpoint, EngineConfig(), asked.adapter)
    except EngineError as error:
        raise ValueError(str(error)) from error
    setups = list(_setups(sorted({prompt.workload for prompt in prompts})))
    tallies: dict[Setup, Tally] = {}
    with Progress(console=Console(stderr=True)) as progress:
        for setup in progress.track(setups, description="decoding"):
            tallies[setup] = measure(engine, prompts, setup, asked.tokens)
    engine.close()
    _print(tallies)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(_figures(engine, asked, len(prompts), tallies), indent=2) + "\n", encoding="utf-8")
    if plot is not None:
        write_plot(plot, tallies)


def _setups(workloads: list[str]) -> Iterator[Setup]:
    for workload in workloads:
        for block_length in BLOCK_LENGTHS:
            for temperature in TEMPERATURES:
                yield Setup(workload, LINEAR, block_length, temperature)
        for lookup in (False, True):
            yield Setup(workload, QUADRATIC, 4, lookup=lookup)
            yield Setup(workload, QUADRATIC, 8, lookup=lookup)
        yield Setup(workload, LINEAR, 8, lookup=True)


def _limited(prompts: list[Prompt], limit: int | None) -> Iterator[Prompt]:
    seen: dict[str, int] = defaultdict(int)
    for prompt in prompts:
        seen[prompt.workload] += 1
        if limit is None or seen[prompt.workload] <= limit:
            yield prompt


def _print(tallies: dict[Setup, Tally]) -> None:
    console = Console()
    table = Table(
        title="drafts accepted a cycle, linear, greedy, by block length; tokens a pass at 8", title_justify="left"
    )
    table.add_column("workload")
    for name in (*map(str, BLOCK_LENGTHS), "tok/pass", "quadratic", "+ lookup", "quadratic"):
        table.add_column(name, justify="right")
    for workload in (*dict.fromkeys(setup.workload for setup in tallies), "all"):
        accepted = [f"{_joined(tallies, Setup(workload, LINEAR, n)).accepted_per_cycle:.2f}" for n in BLOCK_LENGTHS]
        rates = [
            _joined(tallies, Setup(workload, mode, lookup=lookup)).tokens_per_pass
            for lookup in (False, True)
            for mode in (LINEAR, QUADRATIC)
        ]
        table.add_row(workload, *accepted, *(f"{rate:.2f}" for rate in rates))
    console.print(table)
    whole = _joined(tallies, Setup("all"))
    slots = " ".join(f"{share:.2f}" for share in whole.by_slot)
    heat = ", ".join(
        f"{heat:g}: {_joined(tallies, Setup('all', temperature=heat)).accepted_per_cycle:.2f}" for heat in TEMPERATURES
    )
    console.print(f"block length 8: held by slot {slots}; by temperature {heat}")
    console.print(f"speed of light: an ideal sampler would get {whole.speed_of_light:.2f} times the tokens a pass")


def _joined(tallies: dict[Setup, Tally], way: Setup) -> Tally:
    """The counts of one way to decode; where its workload is "all", of all workloads together."""
    total = Tally()
    for setup, tally in tallies.items():
        if way in (setup, replace(setup, workload="all")):
            total.join(tally)
    return total


def _figures(engine: Engine, asked: Asked, prompts: int, tallies: dict[Setup, Tally]) -> dict[str, Any]:
    rows = [
        {
            "workload": setup.workload,
            "mode": setup.mode.value,
            "block_length": setup.block_length,
            "temperature": setup.temperature,
            "prompt_lookup": setup.lookup,
            "tokens": tally.tokens,
            "passes": tally.passes,
            "tokens_per_pass": round(tally.tokens_per_pass, 3),
            "accepted_per_cycle": round(tally.accepted_per_cycle, 3),
            "held_by_slot": [round(share, 3) for share in tally.by_slot],
            "speed_of_light": round(tally.speed_of_light, 3),
        }
        for setup, tally in tallies.items()
    ]
    return {
        "model": engine.model_name,
        "checkpoint_sha256": engine.checkpoint_sha256,
        "adapter_sha256": engine.adapter_sha256,
        "prompts": prompts,
        "tokens_each": asked.tokens,
        "rows": rows,
    }
