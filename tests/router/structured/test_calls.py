"""What the caller hears of tool calls as they are written."""

from __future__ import annotations

from triroute.proto import engine_pb2
from triroute.router.structured.calls import deltas


def test_pieces_are_told_under_the_calls_id() -> None:
    piece = engine_pb2.CallPiece
    told = deltas("r", [piece(number=1, name="a"), piece(number=1, arguments_json="{"), piece(number=2, name="b")])
    assert [(one.index, one.id, one.name, one.arguments_json) for one in told] == [
        (1, "call_r_1", "a", ""),
        (1, "call_r_1", "", "{"),
        (2, "call_r_2", "b", ""),
    ]
