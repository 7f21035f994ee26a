"""Grammars are tried where nothing that they do can last or spread."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from llguidance import LLMatcher

from triroute.engine.errors import EngineError
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.trials import Trials

FINE = LLMatcher.grammar_from_regex("a")
HEAVY = LLMatcher.grammar_from_json_schema(
    {"type": "string", "allOf": [{"pattern": f"a.*b{number}"} for number in range(40)]}
)


@pytest.fixture(scope="module")
def trials() -> Trials:
    return tiny_tokenizer().trials


def test_a_verdict(trials: Trials) -> None:
    assert not trials.verdict(FINE).problem
    assert "invalid regex" in trials.verdict(LLMatcher.grammar_from_regex("([")).problem
    odd = LLMatcher.grammar_from_json_schema({"not": {}, "x-guidance": {"lenient": True}})
    assert "not" in trials.verdict(odd).warnings[0]


def test_too_much_time(trials: Trials) -> None:
    assert "more than 1 s" in trials.verdict(HEAVY).problem


def test_nobody_waits_for_what_is_too_much(trials: Trials) -> None:
    ended = []
    heavy = [threading.Thread(target=lambda: ended.append(trials.verdict(HEAVY))) for _ in range(2)]
    for thread in heavy:
        thread.start()
    assert not trials.verdict(FINE).problem
    assert len(ended) < len(heavy)
    for thread in heavy:
        thread.join()
    assert all(verdict.problem for verdict in ended)


def test_a_process_that_died_is_replaced() -> None:
    trials = tiny_tokenizer().trials
    trials.process.kill()
    trials.process.wait()
    assert not trials.verdict(FINE).problem


def test_the_process_ends() -> None:
    tokenizer = tiny_tokenizer()
    process, gone = tokenizer.trials.process, weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert gone() is None
    assert process.returncode is not None


def test_who_waits_when_it_closes_is_told() -> None:
    trials = tiny_tokenizer().trials
    trials.close()
    with pytest.raises(EngineError, match="shutting down"):
        trials.verdict(FINE)
