"""Interleaved rounds: every engine runs once a round, in turn, and only ratios within a round are compared."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from triroute.bench.worker import ENGINES, Answer

PEER, OURS, LINEAR = "llama.cpp", "triroute ar", "triroute linear"
RATIOS = {
    "ar_vs_llamacpp": (OURS, PEER),
    "linear_vs_ar": (LINEAR, OURS),
}
PROMPT = (
    "The history of bread is a history of patience. Long before ovens, people pounded grain between stones, mixed it "
    "with water and laid it on hot ashes. What follows is a long account of how that simple habit became a craft."
)


@dataclass(frozen=True, slots=True)
class Worker:
    """One engine's process."""

    name: str
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, name: str) -> Worker:
        """Begin to load; `wait` for it."""
        command = [sys.executable, "-m", "triroute.bench.worker", name]
        pipe = subprocess.PIPE
        return cls(name, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True))

    def wait(self) -> Answer:
        """Its next answer. Raises RuntimeError when it died."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}; run its worker by hand to see why")
        answer: Answer = json.loads(line)
        return answer

    def run(self, prompt: str, tokens: int) -> Answer:
        """One generation."""
        if self.process.stdin:
            self.process.stdin.write(json.dumps({"prompt": prompt, "tokens": tokens}) + "\n")
            self.process.stdin.flush()
        return self.wait()

    def stop(self) -> None:
        """Close its input, which ends it."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def run(rounds: int, tokens: int, report: Path | None) -> dict[str, float]:
    """Measure, print a table, write JSON; the ratios."""
    console = Console()
    workers: list[Worker] = []
    measured: dict[str, list[Answer]] = {name: [] for name in ENGINES}
    try:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("loading", total=len(ENGINES) * (rounds + 1))
            for name in ENGINES:
                workers.append(Worker.start(name))
                workers[-1].wait()
                workers[-1].run(PROMPT, 16)
                progress.advance(task)
            for number in range(rounds):
                progress.update(task, description=f"round {number + 1} of {rounds}")
                for worker in workers:
                    measured[worker.name].append(worker.run(PROMPT, tokens))
                    progress.advance(task)
    finally:
        for worker in workers:
            worker.stop()
    ratios = {name: _ratio(measured[ours], measured[peer]) for name, (ours, peer) in RATIOS.items()}
    console.print(_table(measured, ratios))
    if report is not None:
        figures = {"ratios": ratios, "rounds": measured, "tokens": tokens, "cores": os.cpu_count()}
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return ratios


def _ratio(ours: list[Answer], peer: list[Answer]) -> float:
    """Median over the rounds of the ratio within a round."""
    pairs = zip(ours, peer, strict=True)
    return round(statistics.median(a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs), 3)


def _table(measured: dict[str, list[Answer]], ratios: dict[str, float]) -> Table:
    table = Table(title="one stream, greedy; medians", title_justify="left", caption=_caption(ratios))
    for name in ("engine", "tok/s", "tokens a pass", "first token ms"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for name, rounds in measured.items():
        figures = {key: statistics.median(answer[key] for answer in rounds) for key in rounds[0]}
        table.add_row(
            name,
            f"{figures['tokens_per_second']:.1f}",
            f"{figures['tokens'] / figures['passes']:.2f}",
            f"{figures['first_token_ms']:.1f}",
        )
    return table


def _caption(ratios: dict[str, float]) -> str:
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
