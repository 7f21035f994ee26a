"""Named features of a step: what each speaks for, how strongly (in nats), and when it is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from triroute.router.classifier.training.sight import Sight
from triroute.router.types import FormatKind, StepKind, ToolChoiceKind

_PLAN, _TOOL, _CODE, _PROSE = StepKind.PLAN, StepKind.TOOL_CALL, StepKind.CODE, StepKind.PROSE


@dataclass(frozen=True, slots=True)
class Feature:
    """One named vote."""

    name: str
    kind: StepKind
    weight: float
    seen: Callable[[Sight], object]


def _asks(*parts: str) -> Callable[[Sight], object]:
    """The last user turn matches; the parts are one expression."""
    search = re.compile("".join(parts)).search
    return lambda sight: search(sight.ask)


def _system(*parts: str) -> Callable[[Sight], object]:
    """The system prompt matches; the parts are one expression."""
    search = re.compile("".join(parts)).search
    return lambda sight: search(sight.system)


def _format_is(kind: FormatKind) -> Callable[[Sight], object]:
    return lambda sight: sight.request.response_format.kind is kind and not sight.request.tools


def _choice_is(kind: ToolChoiceKind) -> Callable[[Sight], object]:
    return lambda sight: sight.request.tool_choice.kind is kind


_LANGUAGE = (
    r"(python|javascript|typescript|java|rust|golang|go|c\+\+|c#|sql|bash|shell|html|css|regex|react|kotlin|ruby)"
)
_ARTIFACT = (
    r"(function|class|method|script|code|program|unit tests?|test case|query|snippet|component|endpoint|module|regex"
    r"|algorithm|decorator|migration|dockerfile|makefile|cli|api client|patch|diff)"
)
_PRODUCE = r"\b(make|write|draft|create|give|outline|propose|prepare|devise|produce|sketch|need|list)\b[^.?!\n]{0,60}"
_ACTION = _asks(
    r"\b(what'?s|what is|weather|search|find|look up|book|send|get|fetch|check|list|call|run|open|read|create",
    r"|delete|update|schedule|remind|convert|calculate|order|cancel|add|set|play|query|show|how many|how much)\b",
)

_TOOL_FEATURES = (
    Feature("tool_choice names a tool", _TOOL, 6, _choice_is(ToolChoiceKind.NAMED)),
    Feature("tool_choice is required", _TOOL, 6, _choice_is(ToolChoiceKind.REQUIRED)),
    Feature("output must follow a JSON schema", _TOOL, 3.0, _format_is(FormatKind.JSON_SCHEMA)),
    Feature("tools are offered", _TOOL, 2.0, lambda s: s.may_call and not s.after_tool),
    Feature("tools are offered after a tool result", _TOOL, 0.4, lambda s: s.may_call and s.after_tool),
    Feature("asks for what a tool does", _TOOL, 1.8, lambda s: s.may_call and not s.after_tool and _ACTION(s)),
    Feature("system prompt asks for tool calls", _TOOL, 1.0, _system(r"<tool_call>|call (a|the|one) (tool|function)")),
)

_CODE_FEATURES = (
    Feature("stops at a code fence", _CODE, 3.0, lambda s: any("```" in stop for stop in s.request.sampling.stop)),
    Feature("ask ends inside a code fence", _CODE, 2.5, lambda s: s.inside_fence),
    Feature(
        "asks to write code",
        _CODE,
        2.8,
        _asks(
            r"\b(write|implement|create|generate|build|code|complete|finish|refactor|fix|port|convert|rewrite|add",
            rf"|optimi[sz]e)\b[^.?!\n]{{0,80}}\b({_ARTIFACT}|{_LANGUAGE})\b",
        ),
    ),
    Feature("only code wanted", _CODE, 1.5, _asks(r"\b(only|just) (the )?code\b|no explanation")),
    Feature(
        "ask holds code",
        _CODE,
        0.9,
        _asks(r"```|\bdef \w+\(|\bclass \w+[:({]|\bimport \w+|#include|=> *\{|</\w+>"),
    ),
    Feature(
        "system prompt is a programmer's", _CODE, 0.8, _system(r"software|python|coding|programm|backend|developer")
    ),
    Feature("names a language", _CODE, 0.7, _asks(rf"\b(in|using|with) {_LANGUAGE}(?!\w)")),
)

_PLAN_FEATURES = (
    Feature(
        "asks for a plan",
        _PLAN,
        3.6,
        _asks(
            _PRODUCE,
            r"\b(plan|roadmap|outline|checklist|agenda|schedule|itinerary|strategy|steps|milestones)\b",
            r"|\bplan (the|a|an|out|how|my|our|for)\b|\bbreak (\w+ ){0,4}(down|into)\b",
        ),
    ),
    Feature(
        "system prompt is a planner's",
        _PLAN,
        3.0,
        _system(
            r"\bplanner\b|planning (agent|assistant)|decompose",
            r"|\b(make|write|produce|output) (\w+ ){0,4}plan\b",
        ),
    ),
    Feature("ask ends with 'plan' or 'steps'", _PLAN, 2.0, _asks(r"\b(plan|steps):?\s*$")),
    Feature(
        "asks for steps",
        _PLAN,
        1.6,
        _asks(r"step[- ]by[- ]step|\bnumbered (list|steps)|\bwhat (steps|are the steps)|next steps"),
    ),
)

_PROSE_FEATURES = (
    Feature(
        "asks for a text",
        _PROSE,
        2.8,
        _asks(
            r"\b(write|draft|compose|create|give|reply|answer|respond|rewrite|polish)\b[^.?!\n]{0,60}\b(e-?mail|letter",
            r"|story|poem|essay|paragraphs?|article|message|blog|post|summary|report|note|reply|sentences?|answer",
            r"|announcement|review|words)\b",
        ),
    ),
    Feature("answers after a tool result", _PROSE, 2.4, lambda s: s.after_tool),
    Feature(
        "asks to explain or tell",
        _PROSE,
        2.0,
        _asks(
            r"\b(explain|describe|summari[sz]e|tell me|what (is|are|was|does|do|did)|why|who|compare|translate",
            r"|rephrase|paraphrase|discuss|introduce|review|elaborate|difference between|how (do|does|did|is|are))\b",
        ),
    ),
    Feature(
        "system prompt is a conversation's", _PROSE, 0.6, _system(r"friendly|helpful|support|writer|writing|editor")
    ),
)

FEATURES: tuple[Feature, ...] = (*_TOOL_FEATURES, *_CODE_FEATURES, *_PLAN_FEATURES, *_PROSE_FEATURES)
