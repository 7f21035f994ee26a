"""How routers exchange what they tell: the protocol, and the exchange of routers in one process."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from triroute.router.fleet.pulse import Pulse
from triroute.router.policy.sessions import Pin

_KEPT = 100  # of what was told; a router that comes later has not heard the rest


@dataclass(frozen=True, slots=True)
class News:
    """What was told since the last call, one's own words among it. Each pulse has its age in seconds."""

    pulses: list[tuple[float, Pulse]]
    pins: list[Pin]


class Exchange(Protocol):
    """Called in the background only."""

    async def swap(self, pulse: Pulse, pins: tuple[Pin, ...]) -> News:
        """Tell, and hear. Raises StoreUnavailable; then it may have been told, and will be told again."""


class Board:
    """Where routers of one process leave what they tell. A router that stands alone has one for itself."""

    def __init__(self) -> None:
        self.told: deque[tuple[int, float, Pulse, tuple[Pin, ...]]] = deque(maxlen=_KEPT)
        self.last = 0


class MemoryExchange:
    """One router's place at a board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._read = 0

    async def swap(self, pulse: Pulse, pins: tuple[Pin, ...]) -> News:
        board, now = self._board, time.monotonic()
        board.last += 1
        board.told.append((board.last, now, pulse, pins))
        new = [one for one in board.told if one[0] > self._read]
        self._read = board.last
        pulses = [(now - at, told) for _, at, told, _ in new]
        return News(pulses, [pin for *_, told in new for pin in told])
