"""What is believed before any data is seen: weights that the fit begins from, and leaves only where data insist.

Public data has some twenty frameworks, so what a framework's prompt says of the answer's form is seen some twenty
times: too few to learn from, and it means the same everywhere. Words of a text come by the thousand, and are learned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triroute.router.classifier.model import KINDS
from triroute.router.types import StepKind

_PLAN, _TOOL, _CODE, _PROSE = StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE
_SAYS, _HINTS = 3.0, 1.0  # nats
_FACTS = {
    **{
        f"{who} orders {what}": (kind, _SAYS)
        for who in ("ask", "system", "form")
        for what, kind in (("plan", _PLAN), ("JSON", _TOOL), ("code", _CODE), ("text", _PROSE))
    },
    **{
        f"{who} orders plan and {what}": (_PLAN, _SAYS)
        for who in ("ask", "system", "form")
        for what in ("plan", "JSON", "code", "text")
    },
    **{
        f"loop of {what}, {result}": (kind, weight)
        for what, kind in (("code", _CODE), ("tool_call", _TOOL))
        for result, weight in (("failed", _SAYS), ("long", _HINTS), ("JSON", _HINTS))  # what failed is tried again
    },
    "shown: plan": (_PLAN, _SAYS),
    "shown: tool_call": (_TOOL, _SAYS),
    "shown: code": (_CODE, _SAYS),
    "stops after plan": (_PLAN, 2 * _SAYS),
    "stops after code": (_CODE, 2 * _SAYS),
    "stops after text": (_PROSE, _SAYS),
    "ask ends with heading plan": (_PLAN, _SAYS),
    "ask ends with heading code": (_CODE, _SAYS),
    "ask ends with heading text": (_PROSE, _HINTS),
    "goes on from plan": (_PLAN, _SAYS),
    "goes on from code": (_CODE, _SAYS),
    "ask ends inside a fence": (_CODE, _SAYS),
    "ask has steps": (_PLAN, _HINTS),
    "ask has a language": (_CODE, _HINTS),
    "ask has telling": (_PROSE, _HINTS),
    "system is a planner's": (_PLAN, _SAYS),
    "system is a programmer's": (_CODE, _HINTS),
    "system is a writer's": (_PROSE, _HINTS),
    "may call, ask has doing": (_TOOL, _SAYS),
    "before: code": (_CODE, _HINTS),
    "before: code, code": (_CODE, _SAYS),
    "before: tool_call, tool_call": (_TOOL, _HINTS),
    "tool loop 3, last tool": (_TOOL, _HINTS),
    "tool loop 4, last tool": (_TOOL, _HINTS),
    "tool names asked for: 1": (_TOOL, _HINTS),
    "tool names asked for: 2": (_TOOL, _HINTS),
    "tool names asked for: 3": (_TOOL, _SAYS),
}
BELIEVED = {f"fact {fact}": belief for fact, belief in _FACTS.items()}
_FIRM, _WORDS = 100.0, 3.0  # times the penalty of other weights; words pass less well from framework to framework


def believed(names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [features + 1, kinds] to begin from, and how firmly rows are held, [features + 1, 1]; 0: the bias."""
    weights = np.zeros((len(names) + 1, len(KINDS)))
    firm = np.ones((len(names) + 1, 1))
    firm[-1] = 0
    for row, name in enumerate(names):
        if not name.startswith("fact "):
            firm[row] = _WORDS
        elif name in BELIEVED:
            kind, weight = BELIEVED[name]
            weights[row, KINDS.index(kind)] = weight
            firm[row] = _FIRM
    return weights, firm
