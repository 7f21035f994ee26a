"""What a run looks at: answers that the model writes itself, to train on and to measure on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import TrainingError
from triroute.engine.training import answers as drawn
from triroute.engine.training.answers import Answer, collect, read_answers
from triroute.engine.training.processes import Group
from triroute.engine.training.prompts import HELD_OUT, Prompt, read_prompts
from triroute.engine.training.report import Report
from triroute.engine.training.settings import Settings
from triroute.engine.training.sources import bfcl_prompts, human_eval_prompts
from triroute.engine.training.templates import make_prompts

_LEAST_ANSWER = 12
_HUMAN_EVAL = 20
_TOOL_CALLS = 12  # every such prompt comes from BFCL: half of all tool calls


def gather(
    settings: Settings, checkpoint: Checkpoint, report: Report, group: Group
) -> tuple[list[Answer], list[Answer]]:
    """Answers to train on, and greedy ones to measure on; their prompts have no source in common.

    The first process has the model write them; the others read what it wrote. Raises TrainingError.
    """
    paths = settings.out / "answers.safetensors", settings.out / "held_out.safetensors"
    if group.leads:
        _write(settings, checkpoint, report, *paths)
    group.agreed(0)  # the others wait here
    trained_on, measured_on = (_long_enough(read_answers(path)) for path in paths)
    if not trained_on or not measured_on:
        raise TrainingError(f"no answer has {_LEAST_ANSWER} tokens; there is nothing to learn drafting from")
    return trained_on, measured_on


def _long_enough(answers: list[Answer]) -> list[Answer]:
    kept = [answer for answer in answers if len(answer.tokens) - answer.prompt >= _LEAST_ANSWER]
    return sorted(kept, key=lambda answer: answer.index)


def _write(settings: Settings, checkpoint: Checkpoint, report: Report, trained_on: Path, measured_on: Path) -> None:
    prompts, held_out = _prompts(settings, report)
    engine = Engine(lambda: checkpoint, EngineConfig(threads=settings.threads))
    try:
        recipe = drawn.Recipe(settings.temperatures, settings.max_tokens, seed=settings.recipe.seed)
        with report.answers("answers", len(prompts)) as tell:
            collect(engine, prompts, recipe, trained_on, tell)
        recipe = drawn.Recipe((0.0,), settings.max_tokens)
        with report.answers("held-out answers", len(held_out)) as tell:
            collect(engine, held_out, recipe, measured_on, tell)
    finally:
        engine.close()


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
