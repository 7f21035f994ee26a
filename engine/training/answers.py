"""The model's own answers: what training and its measurement look at."""

from __future__ import annotations

import hashlib
import json
import queue
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triroute.engine.engine import Engine
from triroute.engine.errors import InvalidRequest, TrainingError
from triroute.engine.training.files import read_tensors, write_tensors
from triroute.engine.training.prompts import WORKLOADS, Prompt
from triroute.engine.types import Committed, Event, Failed, Finished, Plan, Request, Sampling

FORMAT = "triroute-answers-1"
_OTHERS = {"checkpoint_sha256": "another checkpoint", "recipe": "another recipe", "prompts": "other prompts"}
_SAVE_EVERY = 256
_LEAST_TOKENS = 4  # shorter answers have nothing to draft


@dataclass(frozen=True, slots=True)
class Answer:
    """Prompt and answer `tokens` int32, of which the first `prompt` are the prompt's; `index` is the prompt's."""

    index: int
    tokens: NDArray[np.int32]
    prompt: int
    workload: str
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How answers are drawn: answer i has temperature `temperatures[i % len]` and, where that is not 0, its own seed.

    Prompts and answers are cut: the answer at `max_tokens`, prompts over `max_prompt` tokens are left out.
    """

    temperatures: tuple[float, ...] = (0.0, 0.7, 0.0, 1.0)
    max_tokens: int = 160
    max_prompt: int = 512
    seed: int = 0


def collect(
    engine: Engine, prompts: Sequence[Prompt], recipe: Recipe, path: Path, tell: Callable[[int, int], None]
) -> list[Answer]:
    """An answer to every prompt that is short enough, kept in `path`, from which an interrupted call goes on.

    `tell` hears of the answers and tokens there are so far. Raises TrainingError.
    """
    meta = {"checkpoint_sha256": engine.checkpoint_sha256, "recipe": repr(recipe), "prompts": digest(prompts)}
    known = {answer.index: answer for answer in (read_answers(path, meta) if path.exists() else [])}
    wanted = _encode(engine, prompts, recipe)
    missing = [index for index in wanted if index not in known]
    tokens = sum(len(answer.tokens) - answer.prompt for answer in known.values())
    tell(len(known), tokens)
    finished: queue.Queue[tuple[int, list[int] | None]] = queue.Queue()
    for index in missing:
        _submit(engine, index, wanted[index], recipe, finished.put)
    for count in range(1, len(missing) + 1):
        index, answered = finished.get()
        if answered is None:
            raise TrainingError(f"the engine failed at the answer to prompt {index + 1}; run the same command again")
        whole = np.array([*wanted[index], *answered], dtype=np.int32)
        temperature = recipe.temperatures[index % len(recipe.temperatures)]
        known[index] = Answer(index, whole, len(wanted[index]), prompts[index].workload, temperature)
        tokens += len(answered)
        tell(len(known), tokens)
        if count % _SAVE_EVERY == 0 or count == len(missing):
            _write(path, list(known.values()), meta)
    return [known[index] for index in sorted(known) if len(known[index].tokens) - known[index].prompt >= _LEAST_TOKENS]


def read_answers(path: Path, expected: dict[str, str] | None = None) -> list[Answer]:
    """The answers of a file. Raises TrainingError where it is damaged, or was made otherwise than `expected`."""
    tensors, meta = read_tensors(path, FORMAT)
    strange = [key for key, value in (expected or {}).items() if meta.get(key) != value]
    if strange:
        raise TrainingError(f"{path} was made with {_OTHERS[strange[0]]}; delete it, or name another --out")
    try:
        ends = np.cumsum(tensors["lengths"])
        return [
            Answer(int(index), tokens, int(prompt), WORKLOADS[int(workload)], float(temperature))
            for index, tokens, prompt, workload, temperature in zip(
                tensors["index"],
                np.split(tensors["tokens"], ends[:-1]),
                tensors["prompt"],
                tensors["workload"],
                tensors["temperature"],
                strict=True,
            )
        ]
    except (KeyError, ValueError, IndexError) as error:
        raise TrainingError(f"{path} is damaged: {error}; delete it") from error


def digest(prompts: Sequence[Prompt]) -> str:
    """SHA-256 of prompts' contents and order."""
    return hashlib.sha256(json.dumps([astuple(prompt) for prompt in prompts]).encode()).hexdigest()


def _write(path: Path, answers: Sequence[Answer], meta: dict[str, str]) -> None:
    tensors = {
        "tokens": np.concatenate([answer.tokens for answer in answers]),
        "lengths": np.array([len(answer.tokens) for answer in answers], dtype=np.int32),
        "index": np.array([answer.index for answer in answers], dtype=np.int32),
        "prompt": np.array([answer.prompt for answer in answers], dtype=np.int32),
        "workload": np.array([WORKLOADS.index(answer.workload) for answer in answers], dtype=np.int32),
        "temperature": np.array([answer.temperature for answer in answers], dtype=np.float32),
    }
    write_tensors(path, tensors, {"format": FORMAT, **meta})


def _encode(engine: Engine, prompts: Sequence[Prompt], recipe: Recipe) -> dict[int, tuple[int, ...]]:
    most = min(recipe.max_prompt, engine.context_length - recipe.max_tokens - 1)
    encoded = {}
    for index, prompt in enumerate(prompts):
        try:
            ids = prompt.encode(engine.chat_template, engine.tokenizer)
        except InvalidRequest as error:
            raise TrainingError(f"prompt {index + 1}: {error}") from error
        if 0 < len(ids) <= most:
            encoded[index] = ids
    if not encoded:
        raise TrainingError(f"no prompt has at most {most} tokens; shorten the prompts")
    return encoded


def _submit(
    engine: Engine,
    index: int,
    ids: tuple[int, ...],
    recipe: Recipe,
    finish: Callable[[tuple[int, list[int] | None]], None],
) -> None:
    """Ask for one answer; `finish` gets it, or None where the engine failed."""
    answered: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, Committed):
            answered.extend(event.token_ids)
        elif isinstance(event, (Finished, Failed)):
            finish((index, answered if isinstance(event, Finished) else None))

    temperature = recipe.temperatures[index % len(recipe.temperatures)]
    sampling = Sampling(max_tokens=recipe.max_tokens, temperature=temperature, seed=recipe.seed + index)
    engine.submit(Request(f"answer-{index}", ids, Plan(), sampling), None, hear)
