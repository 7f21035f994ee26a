"""What a request's structure leaves no choice about."""

from __future__ import annotations

from triroute.router.types import FormatKind, Request, StepKind, ToolChoiceKind


def certain(request: Request) -> tuple[StepKind, str] | None:
    """What the request leaves no choice about."""
    if request.tool_choice.kind is ToolChoiceKind.NAMED:
        return StepKind.TOOL_CALL, "tool_choice names a tool"
    if request.tool_choice.kind is ToolChoiceKind.REQUIRED:
        return StepKind.TOOL_CALL, "tool_choice is required"
    if request.response_format.kind is FormatKind.JSON_SCHEMA:
        return StepKind.TOOL_CALL, "output must follow a JSON schema"
    return None
