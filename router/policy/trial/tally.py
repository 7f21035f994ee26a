"""What one router, or a whole fleet, has counted of a trial."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from triroute.router.policy.trial.evidence import ODDS

_PER_DOUBLING = 8  # bins of times: a figure read from them is off by at most 9 %
MOST_PAIRS = 100
OTHER_PAIR = ("(others)", "(others)")
Pair = tuple[str, str]


@dataclass(slots=True)
class Arm:
    """Steps that one policy decided. `times`: how many took so long, by bins of milliseconds a token."""

    steps: int = 0
    failed: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, failed: bool, ms: float | None) -> None:
        """One step; None where it has no time."""
        self.steps += 1
        self.failed += failed
        if ms is not None:
            self.times[round(_PER_DOUBLING * math.log2(max(ms, 1e-3)))] += 1

    def merge(self, other: Arm) -> None:
        """Another router's."""
        self.steps += other.steps
        self.failed += other.failed
        self.times += other.times

    def quantile(self, share: float) -> float:
        """Milliseconds a token that this share of steps stays under, roughly. 0 without steps."""
        wanted, seen = share * self.times.total(), 0
        for number in sorted(self.times):
            seen += self.times[number]
            if seen >= wanted:
                return float(2 ** (number / _PER_DOUBLING))
        return 0.0

    @property
    def failing(self) -> float:
        """The share of failed steps."""
        return self.failed / max(self.steps, 1)


@dataclass(slots=True)
class ShadowCount:
    """What the policy that did not decide would have done, by (rule that decided, rule that would have)."""

    agree: Counter[Pair] = field(default_factory=Counter)
    differ: Counter[Pair] = field(default_factory=Counter)
    failed: int = 0  # it could not say, by a bug
    slow: int = 0  # it took too long
    skipped: int = 0  # it was not asked, resting after it was slow

    def add(self, pair: Pair, agrees: bool) -> None:
        """One step. Past so many pairs, the rest are one."""
        counts = self.agree if agrees else self.differ
        known = pair in counts or len(self.agree) + len(self.differ) < MOST_PAIRS
        counts[pair if known else OTHER_PAIR] += 1

    def merge(self, other: ShadowCount) -> None:
        """Another router's."""
        self.agree += other.agree
        self.differ += other.differ
        self.failed += other.failed
        self.slow += other.slow
        self.skipped += other.skipped


@dataclass(slots=True)
class Tally:
    """Everything counted. `errors` and `latency` are logarithms of test martingales, which add up over routers."""

    stable: Arm = field(default_factory=Arm)
    canary: Arm = field(default_factory=Arm)
    shadow: ShadowCount = field(default_factory=ShadowCount)
    errors: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    latency: list[float] = field(default_factory=lambda: [0.0] * (2 * len(ODDS)))

    def dumps(self) -> str:
        """JSON."""
        shadow = self.shadow
        pairs = [[*pair, "agree", count] for pair, count in shadow.agree.items()]
        pairs += [[*pair, "differ", count] for pair, count in shadow.differ.items()]
        arms = [[arm.steps, arm.failed, dict(arm.times)] for arm in (self.stable, self.canary)]
        counts = [shadow.failed, shadow.slow, shadow.skipped]
        return json.dumps(
            {"arms": arms, "pairs": pairs, "shadow": counts, "errors": self.errors, "latency": self.latency}
        )


def loads(text: str) -> Tally:
    """What `dumps` wrote. Raises ValueError for anything else."""
    try:
        return _tally(json.loads(text))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no tally: {error!r}") from error


def merged(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    whole = Tally()
    for one in tallies:
        whole.stable.merge(one.stable)
        whole.canary.merge(one.canary)
        whole.shadow.merge(one.shadow)
        whole.errors = [a + b for a, b in zip(whole.errors, one.errors, strict=True)]
        whole.latency = [a + b for a, b in zip(whole.latency, one.latency, strict=True)]
    return whole


def _tally(found: Mapping[str, Any]) -> Tally:
    stable, canary = (
        Arm(int(steps), int(failed), Counter({int(number): int(count) for number, count in times.items()}))
        for steps, failed, times in found["arms"]
    )
    shadow = ShadowCount(Counter(), Counter(), *map(int, found["shadow"]))
    for ours, theirs, what, count in found["pairs"]:
        (shadow.agree if what == "agree" else shadow.differ)[(str(ours), str(theirs))] += int(count)
    whole = Tally(stable, canary, shadow, list(map(float, found["errors"])), list(map(float, found["latency"])))
    if len(whole.errors) != len(ODDS) or len(whole.latency) != 2 * len(ODDS):
        raise ValueError("no tally: of another version")
    return whole
