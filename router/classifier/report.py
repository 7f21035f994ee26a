"""Records to a live report: what steps were taken for against what they turned out to be, by framework."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from triroute.proto import router_pb2
from triroute.router.classifier.drift import Drift
from triroute.router.classifier.score import Scored
from triroute.router.types import StepKind
from triroute.router.words import word


@dataclass(frozen=True, slots=True)
class Report:
    """`steps` by framework, oldest first; `unseen` records have no output to go by, or are of an older version."""

    steps: dict[str, list[Scored]]
    drift: Drift
    revisions: frozenset[str]
    unseen: int


def report(records: Iterable[router_pb2.Record]) -> Report:
    """From records, oldest first. What counts is the classifier's word, not the caller's hint."""
    steps: dict[str, list[Scored]] = {}
    drift, revisions, unseen = Drift(), set(), 0
    for record in records:
        if record.observed == router_pb2.STEP_KIND_UNKNOWN:
            unseen += 1
            continue
        one = Scored(_kind(record.features.step), record.features.confidence, _kind(record.observed))
        steps.setdefault(record.framework, []).append(one)
        if one.predicted is not StepKind.UNKNOWN:
            drift.add(record.framework, one.confidence, one.predicted is one.observed)
        if record.features.classifier_revision:
            revisions.add(record.features.classifier_revision)
    return Report(dict(sorted(steps.items())), drift, frozenset(revisions), unseen)


def _kind(number: router_pb2.StepKind.ValueType) -> StepKind:
    return StepKind(word(router_pb2.StepKind, number))
