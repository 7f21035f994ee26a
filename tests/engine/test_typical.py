"""Relaxed verification: lossy, and every token that it changed is named; all else is as it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from triroute.engine.engine import Engine
from triroute.engine.testing import Answer, run_all, run_one
from triroute.engine.types import FormatKind, ModeName, Plan, Request, ResponseFormat, Sampling
from triroute.engine.typical import is_typical, log_probability

MODES = [ModeName.LINEAR_SPECULATION, ModeName.QUADRATIC_SPECULATION]


def _prompt(engine: Engine, text: str) -> tuple[int, ...]:
    chat = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return tuple(engine.tokenizer.encode(chat, special=True))


def _lossy(answer: Answer) -> list[int]:
    """Indices of the output that are named."""
    found, at = [], 0
    for record in answer.records:
        found += [at + index for index in record.lossy]
        at += len(record.committed)
    return found


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_definition(temperature: float) -> None:
    scores = np.random.default_rng(3).normal(0, 3, 64).astype(np.float32)
    weights = np.exp(scores.astype(np.float64) / (temperature or 1.0))
    chances = weights / weights.sum()
    bar = min(0.09, 0.3 * math.exp(float((chances * np.log(chances)).sum())))
    assert [is_typical(scores, token, temperature) for token in range(64)] == [bool(p > bar) for p in chances]
    assert log_probability(scores, 5) == pytest.approx(float(scores[5]) - math.log(np.exp(scores).sum()), abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_not_named_is_what_autoregression_draws(engine: Engine, mode: ModeName) -> None:
    sampling = Sampling(max_tokens=40, temperature=0.9, seed=11, logprobs=0)
    exact = Request("exact", _prompt(engine, "Tell me a short story about a lighthouse."), Plan(mode, 4), sampling)
    relaxed = replace(exact, request_id="relaxed", plan=Plan(mode, 4, relaxed=True))
    answers = run_all(engine, [exact, relaxed])
    alone = run_one(engine, relaxed)
    assert answers["exact"].token_ids == run_one(engine, replace(exact, plan=Plan())).token_ids
    assert answers["relaxed"].token_ids == alone.token_ids
    assert len(alone.logprobs) == len(alone.token_ids)
    lossy = _lossy(alone)
    assert lossy, "nothing was relaxed: the case says nothing"
    assert alone.finished is not None
    assert alone.finished.usage.lossy == len(lossy)
    for index, token in enumerate(alone.token_ids):
        resumed = tuple(alone.token_ids[:index])
        asked = replace(
            exact, plan=Plan(), sampling=replace(sampling, max_tokens=index + 1, logprobs=None), resume_ids=resumed
        )
        (drawn,) = run_one(engine, asked).token_ids
        assert (drawn == token) is (index not in lossy)


@pytest.mark.parametrize("mode", MODES)
def test_more_is_accepted(engine: Engine, mode: ModeName) -> None:
    texts = ["Tell me a short story about a lighthouse.", "Explain what a binary search does."]
    passes = {True: 0, False: 0}
    for number, text in enumerate(texts):
        prompt = _prompt(engine, text)
        for relaxed in (True, False):
            plan = Plan(mode, 4, relaxed=relaxed)
            sampling = Sampling(max_tokens=64, temperature=0.8, seed=number)
            answer = run_one(engine, Request("a", prompt, plan, sampling))
            assert answer.finished is not None
            passes[relaxed] += answer.finished.usage.passes
    assert passes[True] < passes[False]


@pytest.mark.parametrize("mode", MODES)
def test_grammar_holds(engine: Engine, mode: ModeName) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string", "maxLength": 30}, "size": {"enum": ["small", "large"]}},
        "required": ["title", "size"],
        "additionalProperties": False,
    }
    prompt = _prompt(engine, "A book as JSON.")
    plan, shape = Plan(mode, 4, relaxed=True), ResponseFormat(FormatKind.JSON_SCHEMA, json.dumps(schema))
    answer = run_one(engine, Request("a", prompt, plan, Sampling(max_tokens=80, temperature=1.2, seed=4), shape))
    assert set(json.loads(answer.text)) == {"title", "size"}
