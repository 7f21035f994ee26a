"""What the classifier said of finished steps, and what they turned out to be: counts, and drift said once."""

from __future__ import annotations

import logging
from collections import Counter

from triroute.router.classifier.drift import Drift
from triroute.router.types import Step, StepKind

log = logging.getLogger("triroute.classifier")


_TENTHS = 10


class Watch:
    """`counts` by predicted kind, observed kind and framework. The framework is one of a closed set.

    `claims` of kinds by the upper end of their confidence's tenth, whether they were right, and framework.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[StepKind, StepKind, str]] = Counter()
        self.claims: Counter[tuple[float, bool, str]] = Counter()
        self.drift = Drift()

    def add(self, step: Step, observed: StepKind, framework: str) -> None:
        """Note a finished step, as the classifier saw it before any hint."""
        self.counts[step.kind, observed, framework] += 1
        if StepKind.UNKNOWN in (step.kind, observed):
            return
        right = step.kind is observed
        tenth = min(int(step.confidence * _TENTHS) + 1, _TENTHS) / _TENTHS
        self.claims[tenth, right, framework] += 1
        if not self.drift.add(framework, step.confidence, right):
            return
        if self.drift.drifting[framework]:
            log.warning(
                "steps of %s are not what the classifier takes them for as often as it says; `triroute classify report`"
                " shows how",
                framework,
            )
        else:
            log.warning("the classifier is right about steps of %s as often as it says again", framework)
