"""The cascade: what is certain by structure, then the model, then `unknown`. A hint goes before it, by policy.

No text leaves the process, and nothing is learned while it serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from triroute.router.classifier.certain import certain
from triroute.router.classifier.encoder import Encoder
from triroute.router.classifier.meaning import meaning
from triroute.router.classifier.model import ENCODED, KINDS, Model, shipped
from triroute.router.classifier.sight import Sight, see
from triroute.router.errors import StartFailed
from triroute.router.types import Request, Step, StepKind

_CERTAIN = 0.99
_EVIDENCE = 6


@cache
def model() -> Model:
    """The weights, read once."""
    return shipped()


def classify(request: Request, by: Model | None = None) -> Step:
    """As `Classifier`, with the weights that ship, or others that need no encoder."""
    return Classifier(by or model()).classify(request)


@dataclass(frozen=True, slots=True)
class Classifier:
    """The cascade with these weights, and the encoder that they ask for."""

    by: Model
    encoder: Encoder | None = None

    @classmethod
    def load(cls, weights: Path | None, encoder: Path | None) -> Classifier:
        """From files; without `weights` those that ship, with or without an encoder. Raises StartFailed."""
        try:
            by = Model.parse(weights.read_text("utf-8")) if weights else shipped(ENCODED) if encoder else model()
        except (OSError, ValueError) as error:
            raise StartFailed(f"{weights} can't be read as weights of the classifier: {error}") from error
        if bool(by.encoder) != (encoder is not None):
            need = "need the encoder that they were trained with" if by.encoder else "were trained without an encoder"
            raise StartFailed(f"the weights {weights} {need}; see `triroute serve --help`")
        used = Encoder(encoder) if encoder is not None else None
        if used is not None and used.sha256 != by.encoder:
            raise StartFailed(
                f"the weights are for the encoder {by.encoder[:12]}, and {encoder} holds {used.sha256[:12]}; train"
                " others with `triroute train-classifier --encoder`, and name them with --classifier"
            )
        return cls(by, used)

    def classify(self, request: Request) -> Step:
        """The step's kind, how sure in [0, 1], and what it rests on, strongest first.

        `unknown`, with the chance that its likeliest kind is wrong, where no kind is likely or nothing is known.
        """
        by = self.by
        known = certain(request)
        if known is not None:
            return Step(known[0], _CERTAIN, (known[1],), by.revision)
        sight = see(request)
        seen = by.seen(sight)
        shares = by.shares(seen, meaning(request, self.encoder) if self.encoder is not None else None)
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
