"""The cascade: what is certain by structure, then the model, then `unknown`. A hint goes before it, by policy.

No text leaves the process, and nothing is learned while it serves.
"""

from __future__ import annotations

from functools import cache

from triroute.router.classifier.certain import certain
from triroute.router.classifier.model import KINDS, Model, shipped
from triroute.router.classifier.sight import Sight, see
from triroute.router.types import Request, Step, StepKind

_CERTAIN = 0.99
_EVIDENCE = 6


@cache
def model() -> Model:
    """The weights, read once."""
    return shipped()


def classify(request: Request, by: Model | None = None) -> Step:
    """The step's kind, how sure in [0, 1], and what it rests on, strongest first.

    `unknown`, with the chance that its likeliest kind is wrong, where no kind is likely or nothing is known.
    """
    by = by or model()
    known = certain(request)
    if known is not None:
        return Step(known[0], _CERTAIN, (known[1],), by.revision)
    sight = see(request)
    seen = by.seen(sight)
    shares = by.shares(seen)
    best = shares.index(max(shares))
    evidence = (*by.evidence(seen, best, _EVIDENCE), *_cut(sight))
    if shares[best] < by.floor or not _knows(sight, request):
        return Step(StepKind.UNKNOWN, 1 - shares[best], evidence, by.revision, sight.cut)
    return Step(KINDS[best], shares[best], evidence, by.revision, sight.cut)


def _knows(sight: Sight, request: Request) -> bool:
    """More to go by than a lone word."""
    return bool(len(sight.ask) > 1 or len(request.messages) > 1 or request.tools)


def _cut(sight: Sight) -> tuple[str, ...]:
    return (f"{sight.cut} characters were not looked at",) if sight.cut else ()
