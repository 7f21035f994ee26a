"""What tenants may ask for, and have asked for. Asked for each step, and never waits."""

from __future__ import annotations

import itertools
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from triroute.router.errors import RateLimited
from triroute.router.fleet.meter import Meter, Peers
from triroute.router.policy.conditions import as_regex
from triroute.router.policy.load import Policy
from triroute.router.policy.part import seconds
from triroute.router.policy.vocabulary import Rate, globs
from triroute.router.types import Request

MOST_TENANTS = 10_000
_CHARACTERS_A_TOKEN = 4
_LONGEST_WAIT_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, and tokens of prompts and outputs."""

    requests: float = 0
    tokens: float = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.requests + other.requests, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class Grant:
    """A step that was let in, and the tokens that it has reserved."""

    tenant: str
    tokens: float


class Rates:
    """The accounts of all tenants, by the policy of the moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.peers = Peers()
        self.refused = 0  # steps, since the start
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._limits = _Limits(())
        self._spent: dict[str, Spent] = {}

    def admit(self, policy: Policy, request: Request) -> Grant | None:
        """Let a step in, and note it; None where nothing limits its tenant. Raises RateLimited."""
        if not policy.file.rates:
            return None
        account = self._account(policy, request.tenant)
        if account is None:
            return None
        now, sampling = self._clock(), request.sampling
        tokens = request.prompt_characters / _CHARACTERS_A_TOKEN + sampling.max_tokens
        for what, meter, amount in (("requests", account.requests, 1.0), ("tokens", account.tokens, tokens)):
            wait = meter.wait(amount, now, self.peers) if meter else 0.0
            if wait:
                self.refused += 1
                raise _refusal(account.rate, request.tenant, what, wait)
        self._charge(account, request.tenant, Spent(1, tokens), now)
        return Grant(request.tenant, tokens)

    def settle(self, grant: Grant, tokens: float) -> None:
        """The step has ended, and used so many tokens: give back the rest, or charge what is missing."""
        account = self._accounts.get(grant.tenant)
        if account is not None:
            self._charge(account, grant.tenant, Spent(0, tokens - grant.tokens), self._clock())

    def take_spent(self, most: int = MOST_TENANTS) -> Mapping[str, Spent]:
        """What was spent here and has not been taken yet, for other routers; of so many tenants."""
        tenants = list(itertools.islice(self._spent, most))
        return {tenant: self._spent.pop(tenant) for tenant in tenants}

    def hear(self, policy: Policy, spent: Mapping[str, Spent], seconds_ago: float) -> None:
        """What was spent at another router."""
        at = self._clock() - seconds_ago
        for tenant, amounts in spent.items():
            account = self._account(policy, tenant, at)
            if account is not None:
                for meter, amount in account.amounts(amounts):
                    meter.hear(amount, at)

    def _charge(self, account: _Account, tenant: str, spent: Spent, now: float) -> None:
        for meter, amount in account.amounts(spent):
            meter.charge(amount, now)
        self._spent[tenant] = self._spent.get(tenant, Spent()) + spent
        if len(self._spent) > MOST_TENANTS:  # nobody hears of them
            del self._spent[next(iter(self._spent))]

    def _account(self, policy: Policy, tenant: str, at: float | None = None) -> _Account | None:
        """None where nothing limits the tenant. A limit that has changed keeps what share of its burst is there."""
        if self._limits.rates is not policy.file.rates:
            self._limits = _Limits(policy.file.rates)
        rate, known = self._limits.of(tenant), self._accounts.get(tenant)
        if rate is None:
            return None
        if known is None or known.rate is not rate:
            known = self._accounts[tenant] = _Account.of(rate, known, self._clock() if at is None else at)
            if len(self._accounts) > MOST_TENANTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(tenant)
        return known


@dataclass(frozen=True, slots=True)
class _Account:
    """One tenant's meters; None for what is not limited."""

    rate: Rate
    requests: Meter | None
    tokens: Meter | None

    @classmethod
    def of(cls, rate: Rate, before: _Account | None, now: float) -> _Account:
        requests = _meter(rate.requests_per_minute, rate, before.requests if before else None, now)
        return cls(rate, requests, _meter(rate.tokens_per_minute, rate, before.tokens if before else None, now))

    def amounts(self, spent: Spent) -> list[tuple[Meter, float]]:
        """Each meter, and what it has to be charged."""
        pairs = ((self.requests, spent.requests), (self.tokens, spent.tokens))
        return [(meter, amount) for meter, amount in pairs if meter is not None and amount]


class _Limits:
    """The policy's rates, and which one each tenant has."""

    def __init__(self, rates: list[Rate] | tuple[Rate, ...]) -> None:
        self.rates = rates
        self._matches = [(re.compile("|".join(map(as_regex, globs(rate)))).fullmatch, rate) for rate in rates]
        self._known: dict[str, Rate | None] = {}

    def of(self, tenant: str) -> Rate | None:
        if tenant not in self._known:
            if len(self._known) >= MOST_TENANTS:
                self._known.clear()
            self._known[tenant] = next((rate for matches, rate in self._matches if matches(tenant)), None)
        return self._known[tenant]


def _meter(per_minute: int | None, rate: Rate, before: Meter | None, now: float) -> Meter | None:
    if per_minute is None:
        return None
    meter = Meter(per_minute, seconds(rate.burst), now)
    if before is not None:
        before.whole.fill(now)
        meter.charge(meter.whole.most * (1 - before.whole.level / before.whole.most), now)
    return meter


def _refusal(rate: Rate, tenant: str, what: str, wait: float) -> RateLimited:
    limit = rate.requests_per_minute if what == "requests" else rate.tokens_per_minute
    who = f"tenant {tenant!r}" if tenant else "steps without a tenant"
    return RateLimited(
        f"{who}: the policy gives {limit} {what} a minute, and they are used up; try again in {wait:.1f} s",
        retry_ms=min(max(1, round(wait * 1000)), _LONGEST_WAIT_MS),
    )
