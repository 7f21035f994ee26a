"""Forecasts as a picture: how fast a stream is, and how long a step takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triroute.router.policy.traffic.simulate import Forecast

_FIRST, _SECOND = "#4361ee", "#f3722c"


def draw(path: Path, forecasts: Sequence[Forecast]) -> None:
    """Write the picture. Raises ImportError without matplotlib, and ValueError or OSError for a file it can't write."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("needs matplotlib; pip install 'triroute[bench]'") from error
    figure = Figure(figsize=(9, 1.5 + 0.5 * len(forecasts)), layout="constrained")
    speed, latency = figure.subplots(1, 2, sharey=True)
    names, places = [one.name for one in forecasts], range(len(forecasts))
    speed.barh(places, [one.tokens_per_second for one in forecasts], color=_FIRST)
    speed.set_yticks(places, names)
    speed.invert_yaxis()
    speed.set_title("tokens a second, one stream", loc="left")
    for at, one in enumerate(forecasts):
        latency.plot([one.p50_seconds, one.p95_seconds], [at, at], color=_FIRST)
    latency.plot([one.p50_seconds for one in forecasts], places, "o", color=_FIRST, label="median")
    latency.plot([one.p95_seconds for one in forecasts], places, "o", color=_SECOND, label="95th percentile")
    latency.set_xlim(left=0)
    latency.legend()
    latency.set_title("seconds a step", loc="left")
    figure.savefig(path)
