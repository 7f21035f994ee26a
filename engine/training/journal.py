"""The log of a run: one CSV line a step, one a measurement, and a plot of both."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from triroute.engine.errors import TrainingError
from triroute.engine.training.files import write_bytes

_LOSSES = ("loss", "diffusion_loss", "ar_loss")
_CHANCES = ("accepted", "guessed", "held_out_accepted")
_COLUMNS = ("step", "seconds", *_LOSSES, *_CHANCES, "rows_per_second", "rate")


@dataclass(slots=True)
class Journal:
    """Lines by step, kept in memory and written whole, so that the file never has half a line.

    A line that measures has only step, seconds and held_out_accepted; the joint recipe's lines have the two parts of
    the loss, and the share of masked tokens that were `guessed`.
    """

    path: Path
    lines: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, steps: int) -> Journal:
        """Go on after so many steps: what an interrupted run wrote past them is forgotten. Raises TrainingError."""
        if not steps or not path.exists():
            return cls(path)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = [line for line in csv.DictReader(file) if int(line["step"]) <= steps]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} can't be read: {error}; delete it") from error
        return cls(path, lines)

    def note(self, **values: float) -> None:
        """Add a line."""
        self.lines.append({name: f"{value:.6g}" for name, value in values.items()})

    def write(self) -> None:
        """Raises TrainingError."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows(self.lines)
        write_bytes(self.path, text.getvalue().encode())

    def plot(self, path: Path) -> bool:
        """Draw loss and acceptance over time. False where matplotlib is missing."""
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            return False
        figure = Figure(figsize=(9, 4), layout="constrained")
        losses, chances = figure.subplots(1, 2)
        for axes, columns in ((losses, _LOSSES), (chances, _CHANCES)):
            for column in columns:
                points = [(float(line["seconds"]) / 60, float(line[column])) for line in self.lines if line.get(column)]
                if column != "held_out_accepted":
                    points = _smooth(points)
                if points:
                    axes.plot(*zip(*points, strict=True), label=column.replace("_", " "))
            axes.set_xlabel("minutes")
            axes.legend()
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120)
        write_bytes(path, picture.getvalue())
        return True


def _smooth(points: list[tuple[float, float]], share: float = 0.03) -> list[tuple[float, float]]:
    """A running mean over a share of the points."""
    width = max(1, int(len(points) * share))
    return [
        (points[end - 1][0], sum(value for _, value in points[max(0, end - width) : end]) / min(width, end))
        for end in range(1, len(points) + 1)
    ]
