"""Draws with everything that a request may ask for, against the formulas."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from triroute.engine.history import History
from triroute.engine.sampling import draw
from triroute.engine.types import Sampling

VOCAB = 101
SCORES = np.random.default_rng(0).standard_normal(VOCAB, dtype=np.float32) * 3
ORDER = np.argsort(-SCORES).tolist()


def _log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    shifted: NDArray[np.float64] = wide - wide.max()
    return shifted - np.log(np.exp(shifted).sum())


def test_reports_the_raw_distribution() -> None:
    """Whatever was done to the scores before the draw."""
    expected, before = _log_softmax(SCORES), SCORES.copy()
    for sampling in (
        Sampling(logprobs=5),
        Sampling(temperature=3.0, seed=4, logprobs=5),
        Sampling(top_k=2, temperature=1.0, logit_bias=((7, 100.0),), logprobs=5),
    ):
        drawn = draw(SCORES, sampling, 3, history=History.of(sampling, ()))
        assert drawn.log_probability == pytest.approx(expected[drawn.token], abs=1e-5)
        assert drawn.confidence == pytest.approx(np.exp(expected[drawn.token]), rel=1e-5)
        assert [token for token, _ in drawn.top] == ORDER[:5]
        assert [number for _, number in drawn.top] == pytest.approx(expected[ORDER[:5]], abs=1e-5)
    assert np.array_equal(SCORES, before)
    assert draw(SCORES, Sampling(logprobs=0), 0).top == ()


def test_allowed_bits() -> None:
    bits = np.zeros(16, dtype=np.uint8)
    bits[9] = 1 << 3
    for temperature in (0.0, 1.0):
        drawn = draw(SCORES, Sampling(temperature=temperature), 0, bits)
        assert drawn.token == 75
        assert drawn.log_probability == pytest.approx(_log_softmax(SCORES)[75], abs=1e-5)


def test_bias_decides() -> None:
    sampling = Sampling(logit_bias=((50, 100.0), (ORDER[0], -100.0)))
    history = History.of(sampling, ())
    assert draw(SCORES, sampling, 0, history=history).token == 50
    assert draw(SCORES, Sampling(), 0).token == ORDER[0]


def test_nothing_is_tracked_unasked() -> None:
    assert History.of(Sampling(temperature=1.0, top_k=3, min_p=0.1, logprobs=2), (1, 2)) is None


tokens = st.lists(st.integers(0, 9), max_size=30)
penalties = st.builds(
    lambda repetition, presence, frequency, bias: Sampling(
        repetition_penalty=repetition, presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias
    ),
    st.sampled_from([0.5, 1.0, 1.3]),
    st.sampled_from([0.0, -1.0, 0.75]),
    st.sampled_from([0.0, 0.25]),
    st.sampled_from([(), ((3, -4.0), (100, 2.0))]),
)


def _penalized(sampling: Sampling, prompt: list[int], output: list[int]) -> list[float]:
    expected = []
    for token, score in enumerate(SCORES.tolist()):
        if token in (*prompt, *output):
            score = score / sampling.repetition_penalty if score > 0 else score * sampling.repetition_penalty
        times = Counter(output)[token]
        score -= sampling.presence_penalty * (times > 0) + sampling.frequency_penalty * times
        expected.append(score + dict(sampling.logit_bias).get(token, 0.0))
    return expected


@settings(max_examples=200, deadline=None)
@given(penalties, tokens, st.lists(st.integers(0, 100), max_size=150), st.integers(0, 150), tokens)
def test_history_forgets_what_is_popped(
    sampling: Sampling, prompt: list[int], output: list[int], popped: int, more: list[int]
) -> None:
    history = History(sampling, prompt)
    out = np.empty_like(SCORES)
    for token in output:
        history.push(token)
    history.pop(min(popped, len(output)))
    left = output[: max(0, len(output) - popped)] + more
    for token in more:
        history.push(token)
    assert history.apply(SCORES, out) is out
    np.testing.assert_allclose(out, _penalized(sampling, prompt, left), rtol=1e-5, atol=1e-5)
