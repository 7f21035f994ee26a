"""The rules alone, as a baseline: a weighted vote of hand-written features. Nothing is learned."""

from __future__ import annotations

import math

from triroute.router.classifier.training.rules import FEATURES
from triroute.router.classifier.training.sight import Sight
from triroute.router.types import Request, Step, StepKind

_KINDS = (StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE)
_LEAST_MARGIN = 0.5


def vote(request: Request) -> Step:
    """The step's kind, how sure (a softmax over the votes), and the features that spoke, strongest first.

    `unknown` where no feature speaks, or where the two best kinds are within half a nat.
    """
    sight = Sight.of(request)
    seen = sorted((f for f in FEATURES if f.seen(sight)), key=lambda f: -f.weight)
    votes = {kind: sum(f.weight for f in seen if f.kind is kind) for kind in _KINDS}
    ranked = sorted(votes.items(), key=lambda pair: -pair[1])
    (winner, most), (_, second) = ranked[0], ranked[1]
    share = 1 / sum(math.exp(weight - most) for weight in votes.values())
    evidence = tuple(f"{f.name} ({f.kind.value} +{f.weight:g})" for f in seen)
    if most - second < _LEAST_MARGIN:
        return Step(StepKind.UNKNOWN, 1 - share, evidence)
    return Step(winner, share, evidence)
