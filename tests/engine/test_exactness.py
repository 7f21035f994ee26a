"""Promise 1: same seed, same text, whatever the exact mode, alone or in any company."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triroute.bench.soak.cases import Case, cases
from triroute.bench.soak.check import Checker
from triroute.engine.engine import Engine
from triroute.engine.model import Model
from triroute.engine.testing import Answer, run_all, run_one, tiny_checkpoint, tiny_head
from triroute.engine.types import (
    FinishReason,
    FormatKind,
    ModeName,
    PassKind,
    Plan,
    Request,
    ResponseFormat,
    Sampling,
)

AR, DIFFUSION = ModeName.AUTOREGRESSIVE, ModeName.DIFFUSION
LINEAR, QUADRATIC = ModeName.LINEAR_SPECULATION, ModeName.QUADRATIC_SPECULATION
PROMPTS = [
    "Plan a birthday party for ten children.",
    "What is the weather in Paris? Answer in JSON.",
    "Write a Python function that reverses a string.",
    "Tell me a short story about a lighthouse.",
    "List three uses of copper.",
    "Explain what a binary search does.",
    "Translate 'good morning' into French.",
    "def fibonacci(n):",
    "Give me a regular expression for e-mail addresses.",
    "Summarize the plot of Hamlet in two sentences.",
    "How do I boil an egg?",
    '{"name": "search", "arguments": {"query":',
    "Write an SQL query that counts users by country.",
    "Why is the sky blue?",
    "Draft an apology for a late delivery.",
    "1, 1, 2, 3, 5, 8,",
    "Describe the taste of a lemon.",
    "Make a checklist for moving house.",
    "class Stack:",
    "What should I pack for a week in Norway?",
]


def _same(ours: Answer, alone: Answer) -> None:
    assert ours.failed is None
    assert ours.token_ids == alone.token_ids
    assert ours.logprobs == alone.logprobs
    assert ours.text == alone.text
    assert ours.finished is not None
    assert alone.finished is not None
    assert ours.finished.reason == alone.finished.reason


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_twenty_prompts_on_the_embedded_model(engine: Engine, temperature: float) -> None:
    """Alone, and with three neighbours in other modes."""
    for number, prompt in enumerate(PROMPTS):
        ids = tuple(
            engine.tokenizer.encode(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", special=True)
        )
        sampling = Sampling(max_tokens=16, temperature=temperature, seed=number)
        plain = run_one(engine, Request("ar", ids, Plan(AR), sampling))
        for mode in (LINEAR, QUADRATIC):
            _same(run_one(engine, Request("alone", ids, Plan(mode, number % 6), sampling)), plain)
        neighbours = [
            Request("n1", ids[:9], Plan(DIFFUSION, 8), Sampling(max_tokens=12, temperature=temperature)),
            Request("n2", ids[3:], Plan(LINEAR, 5), Sampling(max_tokens=20, temperature=1.0, seed=number)),
            Request("n3", ids[:5], Plan(AR), Sampling(max_tokens=12)),
        ]
        company = run_all(engine, [Request("x", ids, Plan(QUADRATIC, 3), sampling), *neighbours])
        _same(company["x"], plain)
    engine.scheduler.check_integrity()


requests = st.builds(
    lambda number, prompt, mode, block, tokens, temperature, seed, top_k, top_p, stop: Request(
        f"r{number}",
        tuple(prompt),
        Plan(mode, block, 0.3, 4),
        Sampling(tokens, temperature, top_p, top_k, seed, stop),
    ),
    number=st.uuids(),
    prompt=st.lists(st.integers(0, 255), min_size=1, max_size=150),
    mode=st.sampled_from([AR, LINEAR, QUADRATIC]),
    block=st.integers(2, 17),
    tokens=st.integers(1, 40),
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**64 - 1),
    top_k=st.sampled_from([0, 0, 5]),
    top_p=st.sampled_from([1.0, 1.0, 0.7]),
    stop=st.sampled_from([(), (), ("e",), ("ab", "\n")]),
)


def test_any_request_in_any_company() -> None:
    """Two thousand cases of up to five requests, with everything that a request can ask for."""
    checkpoint = tiny_checkpoint()
    model = Model(checkpoint.weights, threads=1, head=tiny_head())
    checker = Checker(checkpoint.tokenizer, model)

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(checker.vocab))
    def check(case: Case) -> None:
        checker.check(case)

    check()
    model.close()
    happened = ("accepted", "rejected", "forced", "preempted", "borrowed", "aborted", "resumed")
    for what in (*happened, "switches", "switches with diffusion", "tool calls"):
        assert checker.tally[what] > 0, f"no case had a request that was {what}"
    assert {kind for kind in PassKind if kind is not PassKind.REFRESH} <= checker.kinds


@settings(max_examples=60, deadline=None)
@given(subject=requests, cut=st.integers(0, 40))
def test_resumed_anywhere(tiny_engine: Engine, subject: Request, cut: int) -> None:
    """What a crash interrupts, a fresh engine finishes with the same bytes."""
    mode = subject.plan
    whole = run_one(tiny_engine, Request("whole", subject.prompt_ids, mode, subject.sampling))
    kept = tuple(whole.token_ids[:cut])
    for characters in {0, len(whole.text) // 2}:
        rest = run_one(
            tiny_engine,
            Request("rest", subject.prompt_ids, mode, subject.sampling, None, kept, characters),
        )
        assert rest.token_ids == whole.token_ids[len(kept) :]
        assert rest.text == whole.text[characters:]


def test_resumed_where_the_text_repeats(tiny_engine: Engine) -> None:
    """A run resumed after `a` that draws `a` again must still count both."""
    whole = run_one(tiny_engine, Request("whole", (1,), Plan(AR), Sampling(6)))
    assert len(set(whole.token_ids)) == 1, "this prompt no longer repeats one token; pick another"
    rest = run_one(tiny_engine, Request("rest", (1,), Plan(AR), Sampling(6), None, tuple(whole.token_ids[:1])))
    assert rest.token_ids == whole.token_ids[1:]


@settings(max_examples=40, deadline=None)
@given(subject=requests)
def test_diffusion_repeats(tiny_engine: Engine, subject: Request) -> None:
    def run(name: str) -> Answer:
        return run_one(tiny_engine, Request(name, subject.prompt_ids, Plan(DIFFUSION, 7, 0.2, 3), subject.sampling))

    _same(run("again"), run("once"))


@pytest.mark.parametrize("kind", list(FormatKind))
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_constrained_speculation_equals_constrained_ar(
    tiny_engine: Engine, kind: FormatKind, temperature: float
) -> None:
    source = {
        FormatKind.JSON_SCHEMA: '{"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","yy"]}},'
        '"required":["a","b"],"additionalProperties":false}',
        FormatKind.REGEX: "(ab|cd)+[0-9]{2,5}",
        FormatKind.LARK: 'start: "yes" | "no" /[a-f]+/',
    }[kind]

    def run(name: str, plan: Plan, seed: int) -> Answer:
        sampling = Sampling(max_tokens=40, temperature=temperature, seed=seed)
        return run_one(tiny_engine, Request(name, (65, 66), plan, sampling, ResponseFormat(kind, source)))

    for seed in range(4):
        plain = run("ar", Plan(AR), seed)
        for mode in (LINEAR, QUADRATIC):
            _same(run("drafted", Plan(mode, 5), seed), plain)
        assert plain.text
        assert plain.finished is not None
        if plain.finished.reason is FinishReason.STOP:
            assert plain.token_ids[-1] in tiny_engine.tokenizer.end_ids
