"""When calls are refused, and which one may try again."""

from __future__ import annotations

import pytest

from triroute.router.errors import StoreUnavailable
from triroute.router.policy.store.breaker import Breaker


def refused(breaker: Breaker) -> bool:
    try:
        breaker.check()
    except StoreUnavailable as error:
        return bool(error.retry_ms)
    return False


def test_opens_after_failures_in_a_row() -> None:
    breaker = Breaker("it", most=3, pause=3600)
    for word in ("a", "b"):
        breaker.failed(word)
    breaker.succeeded()
    for word in ("c", "d"):
        breaker.failed(word)
    assert not refused(breaker)
    assert breaker.failed("e").message == "it does not answer: e"
    assert refused(breaker)
    assert (breaker.error, breaker.failures) == ("e", 5)


def test_one_call_tries_after_the_pause(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("triroute.router.policy.store.breaker.time.monotonic", lambda: clock[0])
    breaker = Breaker("it", most=1, pause=5)
    breaker.failed("gone")
    assert refused(breaker)
    clock[0] += 6
    assert [refused(breaker) for _ in range(3)] == [False, True, True]
    breaker.failed("still gone")
    assert refused(breaker)
    clock[0] += 6
    assert not refused(breaker)
    breaker.succeeded()
    assert [refused(breaker) for _ in range(3)] == [False] * 3
    assert [record.message for record in caplog.records] == [
        "it does not answer (gone); serving goes on with what is known",
        "it answers again",
    ]
