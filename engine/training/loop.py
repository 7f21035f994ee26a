"""The loop around a trainer: budget, saving, measuring, going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from triroute.engine.training.journal import Journal
from triroute.engine.training.measure import Acceptance
from triroute.engine.training.processes import Group
from triroute.engine.training.report import Report
from triroute.engine.training.settings import Settings
from triroute.engine.training.state import Place, Trainable, load_state, save_state
from triroute.engine.training.trainer import Step


class Steps(Trainable, Protocol):
    """A trainer of either recipe."""

    def step(self, progress: float) -> Step: ...


@dataclass(frozen=True, slots=True)
class Task:
    """What a recipe brings: its trainer, how its result is written, and how good it is by now."""

    trainer: Steps
    export: Callable[[], None]
    measure: Callable[[], Acceptance]


class Loop:
    """One run of a task. Of a group's processes, the first one measures and writes."""

    def __init__(self, settings: Settings, task: Task, checkpoint_sha256: str, report: Report, group: Group) -> None:
        self.settings, self.task, self.sha256, self.report, self.group = (
            settings,
            task,
            checkpoint_sha256,
            report,
            group,
        )
        self.state: Path = settings.out / "state.safetensors"
        place = Place()
        if settings.resume and self.state.exists():
            place = load_state(self.state, task.trainer, self.sha256)
            report.say(f"going on after step {place.steps}")
        self.seconds = place.seconds
        self.journal = Journal.open(settings.out / "log.csv", place.steps)

    @property
    def steps(self) -> int:
        return self.task.trainer.updates.steps

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1 and over."""
        if self.settings.steps is not None:
            return self.steps / self.settings.steps
        return self.seconds / (60 * (self.settings.minutes or 1))

    def go(self) -> None:
        """Until the budget is used, or Ctrl-C. Either way everything is written."""
        if self.progress >= 1:
            self.report.say("this run is complete; give it more time, or add --restart")
            return
        if not self.steps:
            self._measure()
        with self.report.training() as tell:
            try:
                self._loop(tell)
            except KeyboardInterrupt:
                self.save()
                raise
        self._measure()
        self.save()
        if self.group.leads and not self.journal.plot(self.settings.out / "loss.png"):
            self.report.say("no plot: matplotlib is not installed")

    def _loop(self, tell: Callable[[float, float, str, float], None]) -> None:
        saved = measured = self.seconds
        loss = shown = rate = 0.0
        while self.progress < 1:
            started = time.perf_counter()
            step = self.task.trainer.step(self.progress)
            took = time.perf_counter() - started
            self.seconds = self.group.agreed(self.seconds + took)  # so that all end and save at the same step
            share = 0.05 if loss else 1.0  # running means for the screen
            loss += share * (step.loss - loss)
            name, figure = next(iter(step.figures.items()))
            shown += share * (figure - shown)
            rate += share * (step.rows / took - rate)
            self.journal.note(
                step=self.steps,
                seconds=self.seconds,
                loss=step.loss,
                rows_per_second=step.rows / took,
                rate=step.rate,
                **step.figures,
            )
            tell(self.progress, loss, f"{name} {shown:.2f}", rate)
            if self.seconds - measured >= self.settings.measure_seconds and self.progress < 1:
                self._measure()
                measured = self.seconds
            if self.seconds - saved >= self.settings.save_seconds:
                self.save()
                saved = self.seconds

    def save(self) -> None:
        """The result so far, and all that is needed to go on. Raises TrainingError."""
        if self.group.leads:
            save_state(self.state, self.task.trainer, self.seconds, self.sha256)
            self.task.export()
            self.journal.write()

    def _measure(self) -> None:
        if self.group.leads:
            found = self.task.measure()
            self.journal.note(step=self.steps, seconds=self.seconds, held_out_accepted=found.accepted)
            self.report.measured(self.steps, self.seconds, found)
