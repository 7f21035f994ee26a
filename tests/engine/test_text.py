"""Streaming text equals the text of the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.engine.testing import tiny_tokenizer
from triroute.engine.text import TextStream

TOKENIZER = tiny_tokenizer()


def _whole(text: str, stop: tuple[str, ...]) -> str:
    """The text before whichever stop string is complete first."""
    for end in range(1, len(text) + 1):
        starts = [start for start in (text[:end].find(string) for string in stop) if start >= 0]
        if starts:
            return text[: min(starts)]
    return text


@given(
    st.text(alphabet="ab\nü€😀", max_size=40),
    st.lists(st.text(alphabet="ab\nü", min_size=1, max_size=4), max_size=4).map(tuple),
    st.integers(1, 7),
)
def test_stream_equals_whole(text: str, stop: tuple[str, ...], width: int) -> None:
    ids = TOKENIZER.encode(text)
    stream, said = TextStream(TOKENIZER, stop), ""
    for start in range(0, len(ids), width):
        emission = stream.push(ids[start : start + width])
        said += emission.text
        if emission.stopped:
            break
    said += stream.flush()
    assert said == _whole(text, stop)


def test_holds_back_what_may_become_a_stop() -> None:
    stream = TextStream(TOKENIZER, ("STOP",))
    assert stream.push(TOKENIZER.encode("a ST")).text == "a "
    assert stream.push(TOKENIZER.encode("AR")).text == "STAR"
    emission = stream.push(TOKENIZER.encode(" STOPx"))
    assert (emission.text, emission.kept, emission.stopped) == (" ", 5, True)


def test_incomplete_character_at_the_end() -> None:
    stream = TextStream(TOKENIZER)
    assert stream.push(TOKENIZER.encode("a€")[:-1]).text == "a"
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("stop", [("aa",), ("aab", "ab")])
def test_overlapping_stops(stop: tuple[str, ...]) -> None:
    stream = TextStream(TOKENIZER, stop)
    assert stream.push(TOKENIZER.encode("xaab")).text + stream.flush() == _whole("xaab", stop)
