"""What the classifier said of finished steps, and what they turned out to be: counts, and drift said once."""

from __future__ import annotations

import logging
from collections import Counter

from triroute.router.classifier.drift import Drift
from triroute.router.types import Step, StepKind

log = logging.getLogger("triroute.classifier")


class Watch:
    """`counts` by predicted kind, observed kind and framework. The framework is one of a closed set."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[StepKind, StepKind, str]] = Counter()
        self.drift = Drift()

    def add(self, step: Step, observed: StepKind, framework: str) -> None:
        """Note a finished step, as the classifier saw it before any hint."""
        self.counts[step.kind, observed, framework] += 1
        if StepKind.UNKNOWN in (step.kind, observed):
            return
        if not self.drift.add(framework, step.confidence, step.kind is observed):
            return
        if self.drift.drifting[framework]:
            log.warning(
                "steps of %s are not what the classifier takes them for as often as it says; `triroute classify report`"
                " shows how",
                framework,
            )
        else:
            log.warning("the classifier is right about steps of %s as often as it says again", framework)
