"""What a step is about to produce, as far as the classifier can tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StepKind(StrEnum):
    """What an agent step is expected to produce."""

    UNKNOWN = "unknown"
    PLAN = "plan"
    TOOL_CALL = "tool_call"
    CODE = "code"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Step:
    """The classifier's answer: `confidence` in [0, 1], `evidence` strongest first.

    `revision` names the weights, empty where none were asked; `cut` characters of the request were not looked at.
    """

    kind: StepKind
    confidence: float
    evidence: tuple[str, ...] = ()
    revision: str = ""
    cut: int = 0
