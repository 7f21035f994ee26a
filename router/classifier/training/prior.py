"""What is believed before any data is seen: weights that the fit begins from, and leaves only where data insist.

Public data has few plans that a planner was asked for, and no data has every way to ask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triroute.router.classifier.model import KINDS
from triroute.router.types import StepKind

_PLAN, _TOOL, _CODE, _PROSE = StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE
_BELIEVED = {
    "ask makes steps": (_PLAN, 4.5),
    "ask has steps": (_PLAN, 0.8),
    "system is a planner's": (_PLAN, 5.0),
    "ask makes code": (_CODE, 4.0),
    "ask has a language": (_CODE, 0.9),
    "ask ends inside a fence": (_CODE, 3.2),
    "system is a programmer's": (_CODE, 1.0),
    "ask makes text": (_PROSE, 2.5),
    "ask has telling": (_PROSE, 1.3),
    "system is a writer's": (_PROSE, 0.6),
    "may call, ask has doing": (_TOOL, 3.5),
    "before: code": (_CODE, 1.5),
    "before: code, code": (_CODE, 4.0),
    "before: tool_call, tool_call": (_TOOL, 1.0),
    "tool loop 3, last tool": (_TOOL, 1.0),
    "tool loop 4, last tool": (_TOOL, 2.0),
    "tool names asked for: 1": (_TOOL, 1.0),
    "tool names asked for: 2": (_TOOL, 2.0),
    "tool names asked for: 3": (_TOOL, 2.5),
}
_FIRM, _WORDS = 100.0, 3.0  # times the penalty of other weights; words pass less well from framework to framework


def believed(names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [features + 1, kinds] to begin from, and how firmly rows are held, [features + 1, 1]; 0: the bias."""
    weights = np.zeros((len(names) + 1, len(KINDS)))
    firm = np.ones((len(names) + 1, 1))
    firm[-1] = 0
    for row, name in enumerate(names):
        fact = name.removeprefix("fact ")
        if not name.startswith("fact "):
            firm[row] = _WORDS
        elif fact in _BELIEVED:
            kind, weight = _BELIEVED[fact]
            weights[row, KINDS.index(kind)] = weight
            firm[row] = _FIRM
    return weights, firm
