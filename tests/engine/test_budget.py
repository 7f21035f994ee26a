"""What a request may take of trials, and what it loses when its client leaves."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from llguidance import LLMatcher

from triroute.engine.budget import Budget, Gone, OutOfTime, Reach, Untried
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.trials import Trials

FINE = LLMatcher.grammar_from_regex("a")


def heavy(number: int) -> str:
    parts = [{"pattern": f"a.*b{number}c{part}"} for part in range(40)]
    return LLMatcher.grammar_from_json_schema({"type": "string", "allOf": parts})


@pytest.fixture(scope="module")
def trials() -> Trials:
    return tiny_tokenizer().trials


def test_what_is_out_of_reach_is_not_tried(trials: Trials) -> None:
    with pytest.raises(Untried):
        Budget().within(Reach.KEPT, trials.verdict, FINE)
    assert not Budget().within(Reach.QUICK, trials.verdict, FINE).problem
    with pytest.raises(Untried):
        Budget().within(Reach.QUICK, trials.verdict, heavy(0))


def test_a_trial_that_was_not_enough_is_not_made_again(trials: Trials) -> None:
    budget, asked = Budget(), list[bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_ask", lambda question: asked.append(question) or b"")
        with pytest.raises(Untried):
            budget.within(Reach.QUICK, trials.verdict, FINE)
        assert "more than 1 s" in budget.within(Reach.ANY, trials.verdict, FINE).problem
    assert len(set(asked)) == len(asked) == 2


def test_trials_are_paid_for(trials: Trials) -> None:
    budget = Budget(1.0)
    assert "more than 1 s" in budget.within(Reach.ANY, trials.verdict, heavy(0)).problem
    with pytest.raises(OutOfTime, match="more than 3 s in all"):
        budget.within(Reach.ANY, trials.verdict, FINE)
    short = Budget(1e-6)
    assert not short.within(Reach.ANY, trials.verdict, FINE).problem
    with pytest.raises(OutOfTime):
        short.within(Reach.ANY, trials.verdict, FINE)


def test_who_has_left_is_not_tried(trials: Trials) -> None:
    budget = Budget()
    budget.end()
    with pytest.raises(Gone):
        budget.within(Reach.ANY, trials.verdict, FINE)


def test_who_leaves_gives_its_turn_up() -> None:
    budget, turn, told = Budget(), Future[None](), list[BaseException]()

    def waits() -> None:
        try:
            budget.wait(turn)
        except Gone as gone:
            told.append(gone)

    thread = threading.Thread(target=waits)
    thread.start()
    budget.end()
    thread.join()
    assert told
    assert turn.cancelled()
