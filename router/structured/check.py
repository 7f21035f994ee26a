"""A finished output against what was asked for: the response format's schema, and those of the tools called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.structured.schema import Unjudged, Wrong, wrong_in
from triroute.router.structured.where import offset_of
from triroute.router.types import FormatKind, Request, ToolChoiceKind

_Check = router_pb2.Check
_CUT = {
    decoding_pb2.FINISH_REASON_LENGTH: "the output was cut at max_tokens",
    decoding_pb2.FINISH_REASON_ABORTED: "the step was aborted",
}
Judge = Callable[[str, str], Wrong | None]  # what is wrong in a JSON text, by a schema; raises Unjudged
_MUST = (ToolChoiceKind.REQUIRED, ToolChoiceKind.NAMED)


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it, and how much of the output, in characters or else in tokens, comes before what is wrong."""

    told: router_pb2.Check
    sound_characters: int = 0
    sound_tokens: int | None = None

    @property
    def invalid(self) -> bool:
        return self.told.result == _Check.RESULT_INVALID


@dataclass(frozen=True, slots=True)
class Written:
    """The tool calls of an output, and the tokens that opened something that can't be read as one."""

    calls: Sequence[engine_pb2.WrittenCall] = ()
    broken: Sequence[int] = ()


def is_checked(request: Request) -> bool:
    """Whether there is anything that its output could be checked against."""
    return request.may_call or request.response_format.kind is FormatKind.JSON_SCHEMA


def judged(
    request: Request, text: str, written: Written, reason: decoding_pb2.FinishReason.ValueType
) -> list[tuple[str, str]]:
    """The JSON texts in an output that `check` has judged, and their schemas."""
    if reason in _CUT:
        return []
    if _is_shaped(request):
        return [(text, request.response_format.source)]
    tools = {tool.name: tool.parameters for tool in request.tools}
    return [(call.arguments_json, tools[call.name]) for call in written.calls if call.name in tools]


def check(
    request: Request,
    text: str,
    written: Written,
    reason: decoding_pb2.FinishReason.ValueType,
    judge: Judge = wrong_in,
) -> Checked:
    """What an output is. `written`: the tool calls in it."""
    if not is_checked(request):
        return Checked(_Check())
    if reason in _CUT:
        return Checked(_Check(result=_Check.RESULT_NOT_CHECKED, path="$", problem=_CUT[reason]))
    try:
        return _judged(request, text, written, judge)
    except Unjudged as unjudged:
        return Checked(_Check(result=_Check.RESULT_NOT_CHECKED, path="$", problem=str(unjudged)))


def unquoted(told: router_pb2.Check) -> router_pb2.Check:
    """The same without what could quote the output or its schema: of the problem, just what precedes a colon."""
    return _Check(result=told.result, path=told.path, problem=told.problem.partition(":")[0])


def _is_shaped(request: Request) -> bool:
    """Whether the output is to fit the response format's schema."""
    return request.response_format.kind is FormatKind.JSON_SCHEMA and request.tool_choice.kind not in _MUST


def _judged(request: Request, text: str, written: Written, judge: Judge) -> Checked:
    must = request.tool_choice.kind in _MUST
    if _is_shaped(request):
        wrong = judge(text, request.response_format.source)
        return _told("$", wrong, text, 0) if wrong else Checked(_Check(result=_Check.RESULT_VALID))
    opened = min(written.broken, default=None)
    sound = [call for call in written.calls if opened is None or call.first_token < opened]
    tools = {tool.name: tool.parameters for tool in request.tools}
    named = request.tool_choice.name if request.tool_choice.kind is ToolChoiceKind.NAMED else ""
    for number, call in enumerate(sound):
        place = f"tool_calls[{number}]"
        if call.name not in tools or named not in ("", call.name):
            problem = f"is not {'the tool that was to be called' if named else 'one of the tools'}: {call.name[:64]!r}"
            return _at(f"{place}.name", problem, call.first_token)
        wrong = judge(call.arguments_json, tools[call.name])
        if wrong is not None:
            return _at(f"{place}.arguments{wrong.path[1:]}", wrong.problem, call.first_token)
    if opened is not None:
        return _at("tool_calls", "one was opened that can't be read", opened)
    if must and not sound:
        return _at("tool_calls", "there is none, and one was required", 0)
    return Checked(_Check(result=_Check.RESULT_VALID) if sound else _Check())


def _told(root: str, wrong: Wrong, text: str, start: int) -> Checked:
    told = _Check(result=_Check.RESULT_INVALID, path=root + wrong.path[1:], problem=wrong.problem)
    return Checked(told, 0 if wrong.broken else start + offset_of(text[start:], wrong.keys))


def _at(path: str, problem: str, first_token: int) -> Checked:
    told = _Check(result=_Check.RESULT_INVALID, path=path, problem=problem)
    return Checked(told, sound_tokens=first_token)
