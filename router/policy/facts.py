"""What conditions can ask about a step: for each field, its values, and how to read it from the request. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from triroute.router.convert.checks import MOST_MESSAGES, MOST_TOKENS
from triroute.router.features import Asked
from triroute.router.types import Hints, LatencyClass, Load, Role, SegmentKind, Step, StepKind, ToolChoiceKind

Read: TypeAlias = Callable[[Asked, Step, Load], Any]

WHOLE = "whole"  # the value of `segment` for the answer as a whole
_INFINITE = math.inf
_HINTS = tuple(field.name for field in dataclasses.fields(Hints))
_NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Words:
    """A field with one of a few values; None among them where the caller may leave it out."""

    values: tuple[Any, ...]
    read: Read


@dataclass(frozen=True, slots=True)
class Numbers:
    """A field with a number in [least, most], whole or not; `optional`: None where the caller did not say."""

    least: float
    most: float
    whole: bool
    read: Read
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """A field with a set of names; `single`: at most one."""

    read: Read
    single: bool = False


Fact: TypeAlias = Words | Numbers | Names


def _hints_given(hints: Hints) -> frozenset[str]:
    if hints == _NO_HINTS:
        return frozenset()
    return frozenset(name for name in _HINTS if getattr(hints, name) not in (None, StepKind.UNKNOWN))


_YES_NO = (False, True)

FACTS: dict[str, Fact] = {
    "step": Words(tuple(kind.value for kind in StepKind), lambda request, step, load: step.kind),
    "segment": Words((WHOLE, *(kind.value for kind in SegmentKind)), lambda request, step, load: WHOLE),
    "confidence": Numbers(0, 1, False, lambda request, step, load: step.confidence),
    "tools": Words(_YES_NO, lambda request, step, load: bool(request.tool_names)),
    "tool": Names(lambda request, step, load: request.tool_names),
    "tool_choice": Words(
        tuple(kind.value for kind in ToolChoiceKind), lambda request, step, load: request.tool_choice_kind
    ),
    "schema": Words(_YES_NO, lambda request, step, load: request.has_format),
    "session": Words(_YES_NO, lambda request, step, load: request.has_session),
    "last_role": Words(
        ("none", *(role.value for role in Role)),
        lambda request, step, load: request.last_role or "none",
    ),
    "prompt_characters": Numbers(0, _INFINITE, True, lambda request, step, load: request.prompt_characters),
    "max_tokens": Numbers(1, MOST_TOKENS, True, lambda request, step, load: request.max_tokens),
    "expected_tokens": Numbers(0, _INFINITE, True, lambda request, step, load: request.expected_tokens, optional=True),
    "turn.messages": Numbers(0, MOST_MESSAGES, True, lambda request, step, load: request.turns),
    "turn.tool_loop": Numbers(0, MOST_MESSAGES, True, lambda request, step, load: request.tool_loop),
    "turn.last_tool_failed": Words(_YES_NO, lambda request, step, load: request.last_tool_failed),
    "tenant": Names(lambda request, step, load: (request.tenant,) if request.tenant else (), single=True),
    "tags": Names(lambda request, step, load: request.tags),
    "hints": Names(lambda request, step, load: _hints_given(request.hints)),
    "latency.class": Words(
        (None, *(kind.value for kind in LatencyClass)), lambda request, step, load: request.latency_class
    ),
    "latency.first_token_ms": Numbers(
        0, _INFINITE, True, lambda request, step, load: request.first_token_ms, optional=True
    ),
    "load.running": Numbers(0, _INFINITE, True, lambda request, step, load: load.running),
    "load.waiting": Numbers(0, _INFINITE, True, lambda request, step, load: load.waiting),
    "load.cache_used": Numbers(0, 1, False, lambda request, step, load: load.cache_used),
    "load.fleet.routers": Numbers(
        1, _INFINITE, True, lambda request, step, load: load.fleet.routers if load.fleet else 1
    ),
    "load.fleet.running": Numbers(0, _INFINITE, True, lambda request, step, load: (load.fleet or load).running),
    "load.fleet.waiting": Numbers(0, _INFINITE, True, lambda request, step, load: (load.fleet or load).waiting),
    "load.fleet.cache_used": Numbers(0, 1, False, lambda request, step, load: (load.fleet or load).cache_used),
}

# What the caller says; all else is the service's own.
ASKED = frozenset(
    name for name in FACTS if name not in ("step", "segment", "confidence") and not name.startswith("load.")
)

# Not a field of its own: the switches that `resume_at` needs.
TRIPPED: Read = lambda request, step, load: load.tripped  # noqa: E731
