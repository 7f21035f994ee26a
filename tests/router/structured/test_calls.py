"""Tool calls as they come: however the text is cut, the pieces make up the calls."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from triroute.proto import engine_pb2
from triroute.router.structured.calls import CallStream

NAMES = st.text("abc_-", min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda v: st.lists(v) | st.dictionaries(st.text(max_size=4), v),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(NAMES, st.dictionaries(st.text(max_size=6), VALUES, max_size=3)), max_size=3)
FREE = st.text('<tol_ca>[]{}" x', max_size=20).filter(lambda text: "<tool_call>[" not in text)


def _written(calls: list[tuple[str, str]]) -> str:
    listed = ", ".join(f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}' for name, arguments in calls)
    return f"<tool_call>[{listed}]</tool_call>"


def _gathered(stream: CallStream, pieces: list[str], calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
    deltas = [delta for piece in pieces for delta in stream.feed(piece)]
    deltas += stream.complete(engine_pb2.WrittenCall(name=name, arguments_json=text) for name, text in calls)
    assert all(delta.id == f"call_r_{delta.index}" for delta in deltas)
    names = {delta.index: delta.name for delta in deltas if delta.name}
    return [(names[n], "".join(d.arguments_json for d in deltas if d.index == n)) for n in sorted(names)]


@given(before=FREE, calls=CALLS, more=CALLS, cuts=st.lists(st.integers(0, 400)))
def test_pieces_make_up_the_calls(
    before: str, calls: list[tuple[str, dict[str, object]]], more: list[tuple[str, dict[str, object]]], cuts: list[int]
) -> None:
    first, second = ([(name, json.dumps(arguments)) for name, arguments in part] for part in (calls, more))
    text = before + _written(first) + " and " + _written(second)
    places = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert _gathered(CallStream("r"), pieces, first + second) == first + second
    assert _gathered(CallStream("r"), pieces, []) == first + second


def test_arguments_come_before_the_call_has_ended() -> None:
    stream = CallStream("r")
    assert [delta.name for delta in stream.feed('<tool_call>[{"name": "a", "arguments": {')] == ["a", ""]
    assert [delta.arguments_json for delta in stream.feed('"x": "}')] == ['"x": "}']
    assert [delta.arguments_json for delta in stream.feed('"}')] == ['"}']


def test_calls_in_another_syntax_come_whole() -> None:
    calls = [("a", '{"x": 1}'), ("b", "{}")]
    assert _gathered(CallStream("r"), ["[TOOL_CALLS] a"], calls) == calls
