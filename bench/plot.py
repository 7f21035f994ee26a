"""The ratios as one picture: bars from 1.0, the peer, towards their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triroute.bench.measure import Outcome, Setting
from triroute.bench.report import short, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MET, _MISSED, _INK, _QUIET = "#2a78b5", "#d9772b", "#22272e", "#6b7480"
_PANELS = (
    (True, "times the peer's rate: further right is better"),
    (False, "share of the peer's time or memory: further left is better"),
)
_TICKS = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 8, 15, 30, 100)
_ROW_INCHES, _PANEL_INCHES, _FRAME_INCHES = 0.46, 0.75, 0.9


def write_plot(path: Path, outcomes: Sequence[Outcome], setting: Setting) -> None:
    """A PNG or SVG, by the name's ending. Raises ModuleNotFoundError without matplotlib."""
    from matplotlib.figure import Figure

    panels = [
        (title, chosen)
        for at_least, title in _PANELS
        if (chosen := [o for o in outcomes if o.rounds and o.measure.target.at_least is at_least])
    ]
    if not panels:
        return
    rows = [len(chosen) for _, chosen in panels]
    figure = Figure(
        figsize=(10, _ROW_INCHES * sum(rows) + _PANEL_INCHES * len(rows) + _FRAME_INCHES), layout="constrained"
    )
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
    for axis, (title, chosen) in zip(axes[:, 0], panels, strict=True):
        _draw(axis, title, chosen)
    figure.suptitle(
        "Triroute against its peers, same machine, same weights", x=0.01, ha="left", weight="bold", color=_INK
    )
    figure.supxlabel(
        f"{setting.machine}; {setting.model}\n"
        f"bar: median of {setting.rounds} interleaved rounds; whisker: all of them; tick: target",
        fontsize=8,
        color=_QUIET,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _draw(axis: Axes, title: str, outcomes: Sequence[Outcome]) -> None:
    """One row an outcome, on a logarithmic axis, where twice and half are as far from 1."""
    axis.set_xscale("log")
    for row, outcome in enumerate(outcomes):
        ratio, target = outcome.ratio, outcome.measure.target
        colour = _MET if outcome.met else _MISSED
        axis.barh(row, ratio - 1, left=1, height=0.5, color=colour, zorder=2)
        axis.hlines(row, min(outcome.ratios), max(outcome.ratios), color=_INK, linewidth=1.2, zorder=4)
        axis.vlines(target.bound, row - 0.36, row + 0.36, color=_INK, linewidth=2.2, zorder=3)
        axis.annotate(
            _label(outcome), (1.015, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=colour
        )
    axis.axvline(1, color=_INK, linewidth=1, zorder=1)
    _frame(axis, title, outcomes)


def _label(outcome: Outcome) -> str:
    target = outcome.measure.target
    wish = "target" if target.hard else "wanted"
    return f"{short(outcome.ratio)}×  [{spread(outcome)}]   {wish} {target} {'✓' if outcome.met else '✗'}"


def _frame(axis: Axes, title: str, outcomes: Sequence[Outcome]) -> None:
    ends = [1.0, *(end for o in outcomes for end in (*o.ratios, o.measure.target.bound))]
    least, most = min(ends) / 1.15, max(ends) * 1.15
    ticks = _ticks(least, most)
    axis.set_xlim(least, most)
    axis.set_xticks(ticks, [f"{tick:g}×" for tick in ticks], fontsize=9)
    axis.set_xticks([], minor=True)
    axis.set_ylim(len(outcomes) - 0.5, -0.5)
    names = [f"{o.measure.about}\nagainst {o.measure.peer}" for o in outcomes]
    axis.set_yticks(range(len(outcomes)), names, fontsize=8)
    axis.set_title(title, loc="left", fontsize=10, color=_QUIET)
    axis.tick_params(length=0, colors=_INK)
    axis.grid(axis="x", color="#e3e6ea", zorder=0)
    axis.spines[:].set_visible(False)


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers from `least` to `most`, 1 among them, far enough apart for their labels."""
    apart = math.log(most / least) / 12
    kept = [1.0]
    for tick in _TICKS:
        if least <= tick <= most and all(abs(math.log(tick / other)) >= apart for other in kept):
            kept.append(tick)
    return sorted(kept)
