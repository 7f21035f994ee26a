"""What conditions can ask about a step: for each field, its values, and how to read it from the request. Pure."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from triroute.router.convert import MOST_MESSAGES, MOST_TOKENS
from triroute.router.types import (
    FormatKind,
    Hints,
    LatencyClass,
    Load,
    Request,
    Role,
    Step,
    StepKind,
    ToolChoiceKind,
)

Read: TypeAlias = Callable[[Request, Step, Load], Any]

_INFINITE = math.inf
_WINDOW = 400
_FAILED = re.compile(
    r"\s*(error\b|failed\b|failure\b|exception\b|traceback \(|\[?error\]?:)"
    r'|\s*\{(?=.*("error"\s*:(?!\s*(null|false|""|\{\}|\[\]))|"(is_?error)"\s*:\s*true|"(ok|success)"\s*:\s*false))',
    re.IGNORECASE | re.DOTALL,
)
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


def _tool_loop(request: Request) -> int:
    """Assistant turns with tool calls since the last user message."""
    rounds = 0
    for message in reversed(request.messages):
        if message.role is Role.USER:
            break
        rounds += bool(message.tool_calls)
    return rounds


def _last_tool_failed(request: Request) -> bool:
    last = request.messages[-1] if request.messages else None
    return last is not None and last.role is Role.TOOL and _FAILED.match(last.content[:_WINDOW]) is not None


def prompt_characters(request: Request) -> int:
    """Characters of all that the model is asked to read, tools aside."""
    return len(request.text) + sum(len(message.content) for message in request.messages)


_YES_NO = (False, True)

FACTS: dict[str, Fact] = {
    "step": Words(tuple(kind.value for kind in StepKind), lambda request, step, load: step.kind),
    "confidence": Numbers(0, 1, False, lambda request, step, load: step.confidence),
    "tools": Words(_YES_NO, lambda request, step, load: bool(request.tools)),
    "tool": Names(lambda request, step, load: [tool.name for tool in request.tools]),
    "tool_choice": Words(
        tuple(kind.value for kind in ToolChoiceKind), lambda request, step, load: request.tool_choice.kind
    ),
    "schema": Words(_YES_NO, lambda request, step, load: request.response_format.kind is not FormatKind.NONE),
    "session": Words(_YES_NO, lambda request, step, load: bool(request.session_id)),
    "last_role": Words(
        ("none", *(role.value for role in Role)),
        lambda request, step, load: request.messages[-1].role if request.messages else "none",
    ),
    "prompt_characters": Numbers(0, _INFINITE, True, lambda request, step, load: prompt_characters(request)),
    "max_tokens": Numbers(1, MOST_TOKENS, True, lambda request, step, load: request.sampling.max_tokens),
    "expected_tokens": Numbers(0, _INFINITE, True, lambda request, step, load: request.expected_tokens, optional=True),
    "turn.messages": Numbers(0, MOST_MESSAGES, True, lambda request, step, load: len(request.messages)),
    "turn.tool_loop": Numbers(0, MOST_MESSAGES, True, lambda request, step, load: _tool_loop(request)),
    "turn.last_tool_failed": Words(_YES_NO, lambda request, step, load: _last_tool_failed(request)),
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

# Not a field of its own: the switches that `resume_at` needs.
TRIPPED: Read = lambda request, step, load: load.tripped  # noqa: E731
