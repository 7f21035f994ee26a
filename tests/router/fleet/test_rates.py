"""Tenants' accounts: who has which limit, what a step reserves and gives back, and what a refusal says."""

from __future__ import annotations

import pytest

from triroute.router.errors import RateLimited
from triroute.router.fleet import rates as module
from triroute.router.fleet.meter import Peers
from triroute.router.fleet.rates import Rates, Spent
from triroute.router.policy import Policy, parse
from triroute.router.types import Request, Sampling

POLICY = """
version: 1
metadata: {name: test}
rates: %s
rules: [{id: only, use: {}}]
"""
TWO = "[{tenant: [acme, 'big-*'], requests_per_minute: 6000}, {requests_per_minute: 60, burst: 5s}]"
TOKENS = "[{tokens_per_minute: 600, burst: 1m}]"


def policy(rates: str) -> Policy:
    return parse(POLICY % rates, "p")


class Clock:
    """Seconds, moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def step(tenant: str = "", tokens: int = 100) -> Request:
    return Request(text="x" * 40, tenant=tenant, sampling=Sampling(max_tokens=tokens))


def let_in(rates: Rates, asked: Policy, request: Request, times: int = 1_000) -> int:
    """How often in a row."""
    for count in range(times):
        try:
            rates.admit(asked, request)
        except RateLimited:
            return count
    return times


def test_each_tenant_has_an_account_of_the_first_rate_that_names_it() -> None:
    rates, two = Rates(Clock()), policy(TWO)
    assert [let_in(rates, two, step(tenant)) for tenant in ("x", "y", "", "x")] == [5, 5, 5, 0]
    assert [let_in(rates, two, step(tenant), 400) for tenant in ("acme", "big-one")] == [400, 400]
    assert rates.refused == 4


def test_no_rates_no_limit() -> None:
    rates, none = Rates(Clock()), policy("[]")
    assert rates.admit(none, step()) is None
    only_acme = policy("[{tenant: acme, requests_per_minute: 1}]")
    assert let_in(rates, only_acme, step("other"), 50) == 50


def test_the_refusal_says_who_what_and_when() -> None:
    clock = Clock()
    rates, two = Rates(clock), policy(TWO)
    let_in(rates, two, step("x"))
    with pytest.raises(
        RateLimited, match=r"tenant 'x': the policy gives 60 requests a minute.* try again in 1\.0 s"
    ) as e:
        rates.admit(two, step("x"))
    assert e.value.retry_ms == 1000
    clock.now += 1.001
    assert let_in(rates, two, step("x")) == 1


def test_a_step_reserves_what_it_may_use_and_gives_back_the_rest() -> None:
    rates, tokens = Rates(Clock()), policy(TOKENS)
    grants = [rates.admit(tokens, step()) for _ in range(5)]  # 110 each, of 600
    assert let_in(rates, tokens, step()) == 0
    for grant in grants:
        assert grant is not None
        rates.settle(grant, 20)
    assert let_in(rates, tokens, step()) == 4
    assert rates.take_spent() == {"": Spent(9, 100 + 440)}
    assert rates.take_spent() == {}


def test_what_is_told_and_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 20)
    rates, two = Rates(Clock()), policy(TWO)
    for number in range(30):
        rates.admit(two, step(f"tenant {number}"))
    told = [list(rates.take_spent(12)) for _ in range(3)]
    assert [len(tenants) for tenants in told] == [12, 8, 0]
    assert told[0][0] == "tenant 10"
    assert let_in(rates, two, step("tenant 0")) == 5, "an account that was forgotten"
    assert let_in(rates, two, step("tenant 29")) == 4


def test_what_was_used_beyond_the_estimate_is_a_debt() -> None:
    clock = Clock()
    rates, tokens = Rates(clock), policy(TOKENS)
    grant = rates.admit(tokens, step())
    assert grant is not None
    rates.settle(grant, 1_200)
    clock.now += 60
    assert let_in(rates, tokens, step()) == 0
    clock.now += 60
    assert let_in(rates, tokens, step()) == 5


def test_what_others_spent_counts() -> None:
    rates, two = Rates(Clock()), policy(TWO)
    rates.hear(two, {"x": Spent(3, 0), "nobody-limits-me": Spent(9, 9)}, 0.0)
    assert let_in(rates, two, step("x")) == 2


def test_what_others_spent_long_ago_is_forgiven() -> None:
    clock = Clock()
    rates, two = Rates(clock), policy(TWO)
    rates.hear(two, {"x": Spent(5, 0)}, 3.0)
    assert let_in(rates, two, step("x")) == 3


def test_a_share_until_there_is_news() -> None:
    rates, two = Rates(Clock()), policy(TWO.replace("5s", "9s"))
    rates.peers = Peers(3, 1)
    assert let_in(rates, two, step("x")) == 3
    rates.peers = Peers(3, 2)  # the others took nothing
    assert let_in(rates, two, step("x")) == 2


def test_without_news_a_share_of_the_rate_goes_on() -> None:
    clock = Clock()
    rates, two = Rates(clock), policy(TWO.replace("5s", "9s"))
    rates.peers = Peers(3, 1)
    let_in(rates, two, step("x"))
    count = 0
    for _ in range(60):
        clock.now += 1
        count += let_in(rates, two, step("x"))
    assert count == 20


def test_a_changed_limit_keeps_the_share_that_is_left() -> None:
    rates, two = Rates(Clock()), policy(TWO)
    assert let_in(rates, two, step("x"), 4) == 4  # of 5
    wider = policy(TWO.replace("requests_per_minute: 60,", "requests_per_minute: 600,"))
    assert let_in(rates, wider, step("x")) == 10  # of 50
    assert let_in(rates, policy(TWO), step("x")) == 0
