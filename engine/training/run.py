"""A whole run: prompts, answers, training, and the adapter file; each part goes on where it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from triroute.engine.adapters import load_adapter
from triroute.engine.checkpoints import default_checkpoint, load_checkpoint
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import TrainingError
from triroute.engine.model import Model
from triroute.engine.training import answers as drawn
from triroute.engine.training.answers import Answer, collect
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.journal import Journal
from triroute.engine.training.lora import Lora
from triroute.engine.training.measure import Acceptance, measure
from triroute.engine.training.prompts import HELD_OUT, Prompt, read_prompts
from triroute.engine.training.report import Report
from triroute.engine.training.sources import bfcl_prompts, human_eval_prompts
from triroute.engine.training.state import Place, export, load_state, save_state
from triroute.engine.training.templates import make_prompts
from triroute.engine.training.torch_model import TorchModel
from triroute.engine.training.trainer import Recipe, Trainer

_LEAST_ANSWER = 12
_HELD_OUT_BYTES = 1 << 30
_HUMAN_EVAL = 20
_TOOL_CALLS = 12  # every such prompt comes from BFCL: half of all tool calls


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run. Of `minutes` (of training alone) and `steps`, the one that is not None ends the run."""

    checkpoint: Path | None
    out: Path
    recipe: Recipe
    minutes: float | None = 40.0
    steps: int | None = None
    answers: int = 2400
    max_tokens: int = 160
    temperatures: tuple[float, ...] = (0.0, 0.7, 0.0, 1.0)
    prompts: Path | None = None
    held_out: Path | None = None
    start: Path | None = None
    public: bool = True
    resume: bool = True
    threads: int = 2
    cache_gb: float = 6.0
    save_seconds: float = 120.0
    measure_seconds: float = 240.0
    held_out_blocks: int = 8


def run(settings: Settings, report: Report) -> None:
    """Train, and write adapter.safetensors, log.csv and loss.png. Raises EngineError."""
    torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # chances under 1e-38 are slow, and nothing
    checkpoint = load_checkpoint(settings.checkpoint or default_checkpoint())
    train(settings, checkpoint, report)


def train(settings: Settings, checkpoint: Checkpoint, report: Report) -> None:
    """`run` with a loaded checkpoint."""
    trained_on, held_out = _answers(settings, checkpoint, report)
    model = Model(checkpoint.weights, settings.threads)
    try:
        _Run(settings, checkpoint, model, trained_on, held_out, report).go()
    finally:
        model.close()


def _answers(settings: Settings, checkpoint: Checkpoint, report: Report) -> tuple[list[Answer], list[Answer]]:
    """Answers to train on, and greedy ones to measure on; their prompts have no source in common."""
    prompts, held_out = _prompts(settings, report)
    engine = Engine(lambda: checkpoint, EngineConfig(threads=settings.threads))
    try:
        recipe = drawn.Recipe(settings.temperatures, settings.max_tokens, seed=settings.recipe.seed)
        with report.answers("answers", len(prompts)) as tell:
            trained_on = collect(engine, prompts, recipe, settings.out / "answers.safetensors", tell)
        recipe = drawn.Recipe((0.0,), settings.max_tokens)
        with report.answers("held-out answers", len(held_out)) as tell:
            measured_on = collect(engine, held_out, recipe, settings.out / "held_out.safetensors", tell)
    finally:
        engine.close()

    def long_enough(answers: list[Answer]) -> list[Answer]:
        kept = [answer for answer in answers if len(answer.tokens) - answer.prompt >= _LEAST_ANSWER]
        if not kept:
            raise TrainingError(f"no answer has {_LEAST_ANSWER} tokens; there is nothing to learn drafting from")
        return kept

    return long_enough(trained_on), long_enough(measured_on)


def _prompts(settings: Settings, report: Report) -> tuple[list[Prompt], list[Prompt]]:
    held_out = read_prompts(settings.held_out or HELD_OUT)
    if settings.prompts is not None:
        return read_prompts(settings.prompts), held_out
    prompts = make_prompts(settings.answers, settings.recipe.seed)
    if settings.public:
        folder = settings.out / "wheels"
        try:
            questions = bfcl_prompts(folder)
            order = np.random.default_rng(settings.recipe.seed).permutation(len(questions))
            for place, index in zip(range(1, len(prompts), _TOOL_CALLS), order, strict=False):
                prompts[place] = questions[index]
            held_out += human_eval_prompts(folder)[:_HUMAN_EVAL]
        except TrainingError as error:
            report.say(f"{error}; going on without public prompts")
    return prompts, held_out


class _Run:
    """The loop around a trainer: budget, saving, measuring."""

    def __init__(
        self,
        settings: Settings,
        checkpoint: Checkpoint,
        model: Model,
        answers: list[Answer],
        held_out: list[Answer],
        report: Report,
    ) -> None:
        recipe, out = settings.recipe, settings.out
        torch_model = TorchModel(checkpoint.weights)
        lora = Lora(torch_model, recipe.targets, recipe.rank, recipe.hydra, recipe.scale, recipe.seed)
        if settings.start is not None:
            lora.begin_with(load_adapter(settings.start, checkpoint.weights.config, checkpoint.sha256))
        stream = CleanStream(model, int(settings.cache_gb * 2**30))
        self.settings, self.report, self.held_out = settings, report, held_out
        self.sha256 = checkpoint.sha256
        self.trainer = Trainer(torch_model, lora, stream, answers, recipe)
        self.held_out_stream = CleanStream(model, _HELD_OUT_BYTES)
        self.state = out / "state.safetensors"
        place = Place()
        if settings.resume and self.state.exists():
            place = load_state(self.state, self.trainer, self.sha256)
            report.say(f"going on after step {place.steps}")
        self.seconds = place.seconds
        self.journal = Journal.open(out / "log.csv", place.steps)

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1 and over."""
        if self.settings.steps is not None:
            return self.trainer.steps / self.settings.steps
        return self.seconds / (60 * (self.settings.minutes or 1))

    def go(self) -> None:
        """Until the budget is used, or Ctrl-C. Either way everything is written."""
        if self.progress >= 1:
            self.report.say("this run is complete; give it more time, or add --restart")
            return
        if not self.trainer.steps:
            self._measure()
        with self.report.training() as tell:
            try:
                self._loop(tell)
            except KeyboardInterrupt:
                self.save()
                raise
        self._measure()
        self.save()
        if not self.journal.plot(self.settings.out / "loss.png"):
            self.report.say("no plot: matplotlib is not installed")

    def _loop(self, tell: Callable[[float, float, float, float], None]) -> None:
        saved = measured = self.seconds
        loss = held = rate = 0.0
        while self.progress < 1:
            started = time.perf_counter()
            step = self.trainer.step(self.progress)
            took = time.perf_counter() - started
            self.seconds += took
            share = 0.05 if loss else 1.0  # running means for the screen
            loss += share * (step.loss - loss)
            held += share * (step.accepted - held)
            rate += share * (step.rows / took - rate)
            self.journal.note(
                step=self.trainer.steps,
                seconds=self.seconds,
                loss=step.loss,
                accepted=step.accepted,
                rows_per_second=step.rows / took,
                rate=step.rate,
            )
            tell(self.progress, loss, held, rate)
            if self.seconds - measured >= self.settings.measure_seconds and self.progress < 1:
                self._measure()
                measured = self.seconds
            if self.seconds - saved >= self.settings.save_seconds:
                self.save()
                saved = self.seconds

    def save(self) -> None:
        """The adapter so far, and all that is needed to go on. Raises TrainingError."""
        save_state(self.state, self.trainer, self.seconds, self.sha256)
        export(self.settings.out / "adapter.safetensors", self.trainer, self.sha256)
        self.journal.write()

    def _measure(self) -> Acceptance:
        found = measure(
            self.trainer.model,
            self.trainer.exported(),
            self.held_out_stream,
            self.held_out,
            self.trainer.recipe.masks,
            self.settings.held_out_blocks,
        )
        self.journal.note(step=self.trainer.steps, seconds=self.seconds, held_out_accepted=found.accepted)
        self.report.measured(self.trainer.steps, self.seconds, found)
        return found
