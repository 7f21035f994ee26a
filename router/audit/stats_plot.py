"""The figures of `triroute audit stats` as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from triroute.router.audit.stats import Bucket, Group

_BLUE, _ORANGE = "#2a78b5", "#d9772b"
_INCHES_A_GROUP, _FRAME_INCHES = 0.4, 1.4


def write_plot(path: Path, groups: Mapping[tuple[str, ...], Group], buckets: Sequence[Bucket]) -> None:
    """A PNG or SVG, by the name's ending. Raises ModuleNotFoundError without matplotlib, OSError, ValueError."""
    from matplotlib.figure import Figure

    names = [" · ".join(key) for key in groups]
    looked = [one for one in buckets if one.looked_at]
    count = 3 if looked else 2
    figure = Figure(figsize=(5 * count, _FRAME_INCHES + _INCHES_A_GROUP * max(len(names), 6)), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    axes[0].barh(names, [group.tokens_per_forward or 0 for group in groups.values()], color=_BLUE)
    axes[0].set_title("tokens a forward")
    axes[1].barh(names, [group.device_seconds for group in groups.values()], color=_ORANGE)
    axes[1].set_title("device seconds")
    axes[1].set_yticks([])
    for axis in axes[:2]:
        axis.invert_yaxis()
    if looked:
        bounds = [f"{one.least:g}" for one in looked]
        axes[2].bar(bounds, [one.agreed / one.looked_at for one in looked], color=_BLUE)
        axes[2].set_title("diffusion: agrees with a second look")
        axes[2].set_xlabel("confidence from")
        axes[2].set_ylim(0, 1)
    figure.savefig(path, dpi=150)
