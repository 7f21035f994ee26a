"""What sessions hold: for each kind of step, the load of the moment when it first came. Bounded, and local."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from triroute.router.policy.decide import believed
from triroute.router.policy.load import Policy
from triroute.router.policy.part import seconds
from triroute.router.types import Held, Load, Request, Step

MOST = 10_000  # pins; the oldest go first


@dataclass(frozen=True, slots=True)
class Pin:
    """What a session holds, and until when. `key` is a digest: no name of a session or tenant is in it."""

    key: str
    held: Held
    until_us: int


class Sessions:
    """Asked for each decision, and never waits. Of two pins of a session, the earlier one counts."""

    def __init__(self, router: str = "", clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.router = router
        self._clock_us = clock_us
        self._pins: OrderedDict[str, Pin] = OrderedDict()
        self._new: deque[Pin] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self._pins)

    def held(self, policy: Policy, request: Request, step: Step, load: Load, dry: bool = False) -> Held | None:
        """What the session holds, where the policy wants it to. Unless `dry`, a first step makes it hold this load."""
        session = policy.file.session
        if session is None or not request.session_id:
            return None
        key = _key(policy.revision, request, believed(policy, request, step))
        now, pin = self._clock_us(), self._pins.get(key)
        if pin is not None and now < pin.until_us:
            return pin.held
        if not dry:
            pin = Pin(key, Held(load, now, self.router), now + 1_000_000 * seconds(session.for_))
            self._put(pin)
            self._new.append(pin)
        return None

    def take_new(self, most: int = MOST) -> tuple[Pin, ...]:
        """Pins made here that have not been taken yet, the oldest first, for other routers."""
        return tuple(self._new.popleft() for _ in range(min(most, len(self._new))))

    def give_back(self, pins: Iterable[Pin]) -> None:
        """They could not be told: they are new again. The oldest are dropped where there are too many."""
        self._new = deque((*pins, *self._new), MOST)

    def hear(self, pins: Iterable[Pin]) -> None:
        """Pins made elsewhere."""
        now = self._clock_us()
        for pin in pins:
            mine = self._pins.get(pin.key)
            if now < pin.until_us and (mine is None or mine.until_us <= now or _order(pin) < _order(mine)):
                self._put(pin)

    def _put(self, pin: Pin) -> None:
        self._pins[pin.key] = pin
        self._pins.move_to_end(pin.key)
        if len(self._pins) > MOST:
            self._pins.popitem(last=False)


def _order(pin: Pin) -> tuple[int, str]:
    return pin.held.since_us, pin.held.router


def _key(revision: str, request: Request, step: Step) -> str:
    named = "\0".join((revision, request.tenant, request.session_id, step.kind.value))
    return hashlib.blake2b(named.encode(errors="replace"), digest_size=16).hexdigest()
