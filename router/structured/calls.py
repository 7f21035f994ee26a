"""Tool calls as typed events, as the engine reads them: name first, then the arguments' text as it comes."""

from __future__ import annotations

from collections.abc import Iterable

from triroute.proto import engine_pb2, router_pb2
from triroute.router.segments import call_id


def deltas(request_id: str, pieces: Iterable[engine_pb2.CallPiece]) -> list[router_pb2.ToolCallDelta]:
    """What the caller hears of them."""
    return [
        router_pb2.ToolCallDelta(
            index=piece.number,
            id=call_id(request_id, piece.number),
            name=piece.name,
            arguments_json=piece.arguments_json,
        )
        for piece in pieces
    ]
