"""Whether the classifier is still as often right as it says: a bet against its confidence, for each framework.

Every step, a wealth of 1 or more bets on the classifier being wrong more often than its confidence `c` allows: it is
multiplied by 1 + (c - hit) / 2. If confidence is honest, the wealth is not expected to grow, whatever the mix of steps:
a wealth of w is then reached once in w steps or more on average (an e-CUSUM: Shin, Ramdas and Rinaldo, "E-detectors").
So the rule needs no reference data and no fixed window, and may be looked at after each step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ALARM = 10_000.0  # a false alarm comes after at least so many steps on average
_CALM = 1.0
_STAKE = 0.5
_MOST = 100 * ALARM  # so that it calms down within bounded time when all is well again


@dataclass(slots=True)
class Drift:
    """`wealth` and `drifting` by framework."""

    wealth: dict[str, float] = field(default_factory=dict)
    drifting: dict[str, bool] = field(default_factory=dict)

    def add(self, framework: str, confidence: float, hit: bool) -> bool:
        """Note a step. True where `drifting` has just changed for its framework."""
        before = max(self.wealth.get(framework, 1.0), 1.0)
        wealth = min(before * (1 + _STAKE * (confidence - hit)), _MOST)
        self.wealth[framework] = wealth
        was = self.drifting.get(framework, False)
        now = wealth > _CALM if was else wealth >= ALARM
        self.drifting[framework] = now
        return now is not was
