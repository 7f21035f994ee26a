"""Whether a canary is worse than the active policy: in errors, or in milliseconds a token.

For times, a step is bad when it takes longer than a mark; the candidate's times are first divided by the ratio that
it is allowed. The marks are the median and the 90th percentile of earlier steps of the active policy, so that a block
can't choose its own. Both questions are then the same one (`evidence`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

from triroute.router.policy.trial.candidate import Candidate
from triroute.router.policy.trial.evidence import Evidence, log_mean
from triroute.router.policy.trial.tally import Tally, merged

FALSE_ALARMS = 0.01  # of canaries that are no worse than allowed, at most this share is ever stopped
LEAST_STEPS = 50  # of each arm
BLOCK = 10  # steps of each arm, at least
_LONGEST_BLOCK = 2_000  # steps of an arm that are kept while the other one gets none
_KEPT_TIMES = 500
_MARKS = (0.5, 0.9)
_FORGIVE_SECONDS = 60.0
_MOST_KEYS = 10_000
_BAR = math.log(2 / FALSE_ALARMS)  # two questions are asked

Outcome = tuple[bool, float | None]  # failed, milliseconds a token


class Judge:
    """Takes outcomes of one router. `others` is what the rest of the fleet has counted, as far as is known."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.own = Tally()
        self.others: Sequence[Tally] = ()
        self._errors = Evidence(candidate.error_ratio)
        self._latency = [Evidence() for _ in _MARKS]
        self._stable: deque[Outcome] = deque(maxlen=_LONGEST_BLOCK)
        self._canary: deque[Outcome] = deque(maxlen=_LONGEST_BLOCK)
        self._times: deque[float] = deque(maxlen=_KEPT_TIMES)
        self._failures: dict[str, float] = {}  # when a key's failure last counted

    def note(self, canary: bool, failed: bool, ms: float | None, key: str = "", now: float = 0.0) -> None:
        """How a step went; `ms` a token, None where it has no time. `key`: whose it is, where others are too."""
        (self.own.canary if canary else self.own.stable).add(failed, ms)
        if failed and key and self._failed_lately(key, now):
            return
        (self._canary if canary else self._stable).append((failed, ms))
        if min(len(self._canary), len(self._stable)) >= BLOCK:
            self._close()

    @property
    def whole(self) -> Tally:
        """What all routers have counted."""
        return merged((self.own, *self.others))

    def verdict(self) -> str:
        """Why the canary must stop, with the figures; empty while it may go on."""
        errors, latency = self.own.errors, self.own.latency
        for other in self.others:
            errors = [a + b for a, b in zip(errors, other.errors, strict=True)]
            latency = [a + b for a, b in zip(latency, other.latency, strict=True)]
        failing, slow = log_mean(errors) >= _BAR, log_mean(latency) >= _BAR
        if not failing and not slow:
            return ""
        whole = self.whole
        if min(whole.canary.steps, whole.stable.steps) < LEAST_STEPS:
            return ""
        return _words(whole, failing)

    def _failed_lately(self, key: str, now: float) -> bool:
        """One session that tries again and again is one piece of evidence, not many."""
        last = self._failures.pop(key, now - _FORGIVE_SECONDS)
        lately = now - last < _FORGIVE_SECONDS
        self._failures[key] = last if lately else now
        if len(self._failures) > _MOST_KEYS:
            del self._failures[next(iter(self._failures))]
        return lately

    def _close(self) -> None:
        """Judge the block, and begin another."""
        stable, canary = self._stable, self._canary
        bad, others_bad = (sum(failed for failed, _ in arm) for arm in (canary, stable))
        self._errors.add(bad, len(canary), others_bad, len(stable))
        theirs = list(_timed(stable))
        ours = [ms / self.candidate.latency_ratio for ms in _timed(canary)]
        known = sorted(self._times)
        for share, evidence in zip(_MARKS, self._latency, strict=True) if known else ():
            mark = known[int(share * len(known))]
            bad, others_bad = sum(ms > mark for ms in ours), sum(ms > mark for ms in theirs)
            evidence.add(bad, len(ours), others_bad, len(theirs))
        self._times.extend(theirs)
        self.own.errors = self._errors.logs
        self.own.latency = [value for evidence in self._latency for value in evidence.logs]
        stable.clear()
        canary.clear()


def _timed(arm: deque[Outcome]) -> Iterator[float]:
    return (ms for _, ms in arm if ms is not None)


def _words(whole: Tally, failing: bool) -> str:
    canary, stable = whole.canary, whole.stable
    if failing:
        return (
            f"{canary.failed} of {canary.steps} steps failed ({canary.failing:.1%}), "
            f"of the active policy's {stable.failed} of {stable.steps} ({stable.failing:.1%})"
        )
    figures = [
        f"{name} {canary.quantile(q):.2g}, {stable.quantile(q):.2g}" for name, q in (("p50", 0.5), ("p95", 0.95))
    ]
    counts = f"of {canary.steps} steps, and of {stable.steps} of the active policy"
    return f"milliseconds a token {counts}: {'; '.join(figures)}"
