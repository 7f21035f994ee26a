"""Token buckets: one alone never gives more than its limit, several give little more, and all pay it back."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.router.fleet.meter import Meter, Peers

ALONE = Peers()


@given(
    st.floats(1, 6_000),
    st.integers(1, 600),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 50)), min_size=1, max_size=60),
)
def test_alone_it_gives_at_most_a_burst_and_the_rate(
    per_minute: float, burst: int, asks: list[tuple[float, float]]
) -> None:
    meter, now, given_away = Meter(per_minute, burst, 0.0), 0.0, 0.0
    most = max(per_minute / 60 * burst, 1.0)
    for pause, amount in asks:
        now += pause
        amount = min(amount, most)
        if not meter.wait(amount, now, ALONE):
            meter.charge(amount, now)
            given_away += amount
        assert given_away <= most + now * per_minute / 60 + 1e-6


@given(st.floats(1, 6_000), st.integers(1, 600), st.floats(0.1, 500))
def test_after_the_wait_that_it_names_it_gives(per_minute: float, burst: int, amount: float) -> None:
    meter, now = Meter(per_minute, burst, 0.0), 0.0
    for _ in range(5):
        wait = meter.wait(amount, now, ALONE)
        now += wait * (1 + 1e-9) + (1e-6 if wait else 0)
        assert meter.wait(amount, now, ALONE) == 0
        meter.charge(amount, now)


def test_what_is_larger_than_the_burst_needs_a_full_bucket_and_leaves_a_debt() -> None:
    meter = Meter(60, 10, 0.0)
    assert meter.wait(100, 0.0, ALONE) == 0
    meter.charge(100, 0.0)
    assert 90.9 < meter.wait(1, 0.0, ALONE) < 91.1
    meter.charge(-100, 1.0)
    assert meter.wait(10, 1.0, ALONE) == 0


def test_a_clock_that_goes_back_adds_nothing() -> None:
    meter = Meter(60, 1, 100.0)
    meter.charge(1, 100.0)
    assert meter.wait(1, 50.0, ALONE) > 0


@dataclass
class Router:
    """A meter and what it has to tell."""

    meter: Meter
    peers: Peers
    told: float = 0.0
    untold: float = 0.0
    heard: dict[int, float] = field(default_factory=dict)


@given(
    routers=st.integers(1, 5),
    per_minute=st.sampled_from([30.0, 60.0, 600.0, 6_000.0]),
    burst=st.sampled_from([1, 10, 60]),
    outage=st.floats(0, 3),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_together_they_give_little_more_and_pay_it_back(
    routers: int, per_minute: float, burst: int, outage: float, data: st.DataObject
) -> None:
    """Every router takes all it gets, and hears of the others every 0.2 to 0.3 seconds, but for an outage."""
    rate, most = per_minute / 60, max(per_minute / 60 * burst, 1.0)
    all_of_them = [Router(Meter(per_minute, burst, 0.0), Peers(routers)) for _ in range(routers)]
    next_beat = [data.draw(st.floats(0, 0.3)) for _ in range(routers)]
    jitter = data.draw(st.randoms(use_true_random=False))
    total, now, step = 0, 0.0, 0.02
    while now < 4.0:
        for number, router in enumerate(all_of_them):
            if now >= next_beat[number] and not 1.0 <= now < 1.0 + outage:
                next_beat[number] = now + jitter.uniform(0.2, 0.3)
                router.told, router.untold = router.told + router.untold, 0.0
                for other, peer in enumerate(all_of_them):
                    if other != number:
                        router.meter.hear(peer.told - router.heard.get(other, 0.0), now)
                        router.heard[other] = peer.told
                router.peers = Peers(routers, router.peers.heard + 1)
            while not router.meter.wait(1, now, router.peers):
                router.meter.charge(1, now)
                router.untold += 1
                total += 1
        # Half a burst and one a router, and what the tap gave while they had not heard of each other.
        assert total <= most + rate * now + (most / 2 + routers + rate * 0.6 if routers > 1 else 1e-6)
        now += step
    assert total >= min(most, rate * 2.0) - routers, "and they do give it"
