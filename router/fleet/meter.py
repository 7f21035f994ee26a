"""Token buckets that several routers fill from one tap. Pure: the time is an argument, in seconds of any one clock.

Every router keeps the whole fleet's bucket as well as it knows it, and a share of it that it may give away until it
hears from the others: a part of the level, one for each router. So before anything is heard, N routers together give
at most what is in the bucket; and what they gave too much, since each hears of the others a little late, is a debt
of the bucket that is paid before anybody gets more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Fills at `per_second` up to `most`. The level may be under zero: a debt."""

    per_second: float
    most: float
    level: float
    at: float

    def fill(self, now: float) -> None:
        """Up to this moment; a clock that goes back adds nothing."""
        if now > self.at:
            self.level = min(self.most, self.level + (now - self.at) * self.per_second)
            self.at = now


@dataclass(frozen=True, slots=True)
class Peers:
    """How many routers share the buckets, this one included, and how often we have heard from them."""

    routers: int = 1
    heard: int = 0


class Meter:
    """One limit of one tenant, `per_minute`; at most what `burst` seconds give is there at once."""

    def __init__(self, per_minute: float, burst: float, now: float) -> None:
        rate = per_minute / 60
        # One request must fit in, however slow the rate.
        most = max(rate * burst, 1.0)
        self.whole = Bucket(rate, most, most, now)
        self._share = Bucket(rate, most, most, now)
        self._heard = -1

    def wait(self, amount: float, now: float, peers: Peers) -> float:
        """Seconds until so much may be given away; 0.0: now. More than fits in asks for a full bucket."""
        self._look(now, peers)
        lacking = min(amount, self._share.most) - self._share.level
        return max(0.0, lacking / self._share.per_second)

    def charge(self, amount: float, now: float) -> None:
        """Given away by this router; less than nothing is given back."""
        for bucket in (self.whole, self._share):
            bucket.fill(now)
            bucket.level = min(bucket.most, bucket.level - amount)

    def hear(self, amount: float, at: float) -> None:
        """Given away by others, at that time."""
        self.whole.fill(at)
        self.whole.level = min(self.whole.most, self.whole.level - amount)

    def _look(self, now: float, peers: Peers) -> None:
        """The share as it is now: a part of the level whenever there is news, and a part of the tap until then."""
        whole, share = self.whole, self._share
        whole.fill(now)
        share.per_second = whole.per_second / peers.routers
        share.most = max(whole.most / peers.routers, 1.0)
        if peers.heard != self._heard:
            self._heard = peers.heard
            # One request always fits in a share, or a small bucket would never give anything.
            share.level, share.at = max(whole.level / peers.routers, min(whole.level, 1.0)), now
        share.fill(now)
        share.level = min(share.level, share.most)
