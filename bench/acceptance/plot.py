"""Acceptance by slot and workload, as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triroute.bench.acceptance.measure import Setup, Tally
from triroute.engine.types import ModeName

_COLOURS = ("#2a78b5", "#d9772b", "#3c9a5f", "#a33f6f", "#7a5bb0", "#6b7480", "#b59a2a")


def write_plot(path: Path, tallies: Mapping[Setup, Tally]) -> None:
    """A PNG or SVG, by the name's ending: how far drafts hold, and what block lengths and temperatures do to it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    slots, lengths = figure.subplots(1, 2)
    workloads = list(dict.fromkeys(setup.workload for setup in tallies))
    for colour, workload in zip(_COLOURS, workloads, strict=False):
        shares = tallies[Setup(workload)].by_slot
        slots.plot(range(1, len(shares) + 1), shares, marker="o", color=colour, label=workload)
        linear = [s for s in tallies if s.workload == workload and s.mode is ModeName.LINEAR_SPECULATION]
        greedy = sorted((s for s in linear if not s.temperature and not s.lookup), key=lambda setup: setup.block_length)
        values = [tallies[setup].accepted_per_cycle for setup in greedy]
        lengths.plot([str(setup.block_length) for setup in greedy], values, marker="o", color=colour)
    slots.set(title="drafts that hold up to a slot, block length 8, greedy", xlabel="slot", ylim=(0, 1))
    lengths.set(title="drafts accepted a cycle", xlabel="block length", ylim=(0, None))
    slots.legend(frameon=False)
    for axis in (slots, lengths):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
