"""What is given out of an output that has tool calls."""

from __future__ import annotations

from triroute.proto import engine_pb2
from triroute.router.speech import Speech

OUTPUT = "Hi <tools> and <call> there <call>"


def stretches(*places: tuple[int, int]) -> list[engine_pb2.Stretch]:
    return [engine_pb2.Stretch(start=start, end=end) for start, end in places]


def test_text_waits_until_it_is_known() -> None:
    speech = Speech()
    assert speech.take(OUTPUT[:6], stretches((0, 3))) == "Hi "
    assert speech.take(OUTPUT[6:24], stretches((3, 15))) == "<tools> and "
    assert speech.take("", stretches((21, 23))) == " t"
    assert speech.take(OUTPUT[24:], stretches((23, 28))) == "here "


def test_what_is_known_waits_for_its_text() -> None:
    speech = Speech()
    assert speech.take("a", stretches((0, 2), (5, 9))) == "a"
    assert [speech.take(character, ()) for character in "b<c>d"] == ["b", "", "", "", "d"]
    assert speech.take("ef", ()) == "ef"


def test_goes_back_to_a_mark() -> None:
    speech = Speech()
    assert speech.take("one two", stretches((0, 3), (3, 9))) == "one two"
    mark = len(speech.known), speech.at
    assert speech.take(" three", stretches((9, 13))) == " three"
    speech.cut(*mark, "one two")
    assert speech.take(" 3", ()) == " 3"
    assert speech.take("!?", stretches((9, 10))) == "!"
