"""Requests and answers as the APIs of model providers spell them, to the router's domain. Bad ones are left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from triroute.router.classifier.truth import observe
from triroute.router.types import (
    FormatKind,
    Message,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    StepKind,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
)

_ROLES = {"developer": "system", "function": "tool", "model": "assistant", "human": "user", "gpt": "assistant"}


@dataclass(frozen=True, slots=True)
class Example:
    """A step, and what it then produced. Examples of one session share a prompt or a task; `said` is the answer."""

    request: Request
    label: StepKind
    source: str
    framework: str
    session: str
    said: str = ""


def to_text(content: Any) -> str:
    """The text of a message's content, whatever its parts."""
    if isinstance(content, list):
        return "\n".join(filter(None, (to_text(part) for part in content)))
    if isinstance(content, dict):
        return to_text(content.get("text") or content.get("content") or "")
    return content if isinstance(content, str) else ""


def to_messages(listed: Iterable[Any]) -> Iterator[Message]:
    """Messages as OpenAI and Anthropic spell them; unknown roles are left out."""
    for one in listed:
        if not isinstance(one, dict):
            continue
        if one.get("type") == "function_call":  # of the Responses API, whose calls are items of their own
            yield Message(Role.ASSISTANT, "", to_calls([one]))
            continue
        if one.get("type") == "function_call_output":
            yield Message(Role.TOOL, to_text(one.get("output")), tool_call_id=str(one.get("call_id", "")))
            continue
        role = str(one.get("role", ""))
        role = _ROLES.get(role, role)
        if role not in {kind.value for kind in Role}:
            continue
        content = one.get("content")
        blocks = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
        calls = to_calls(one.get("tool_calls")) + to_calls(b for b in blocks if b.get("type") == "tool_use")
        results = [b for b in blocks if b.get("type") == "tool_result"]
        for result in results:
            yield Message(Role.TOOL, to_text(result.get("content")), tool_call_id=str(result.get("tool_use_id", "")))
        said = to_text([b for b in blocks if b.get("type") in {"text", "input_text", "output_text"}] or content)
        if not results or said.strip():
            text = "" if results == blocks and blocks else said
            if text.strip() or calls:
                yield Message(Role(role), text, calls, str(one.get("tool_call_id") or ""), str(one.get("name") or ""))


def to_calls(listed: Any) -> tuple[ToolCall, ...]:
    """Tool calls of either spelling."""
    calls = []
    for one in listed or ():
        if isinstance(one, dict):
            inner = one.get("function")
            function = inner if isinstance(inner, dict) else one
            arguments = function.get("arguments", function.get("input", "{}"))
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            calls.append(ToolCall(str(one.get("id") or ""), str(function.get("name") or ""), text))
    return tuple(calls)


def to_tools(listed: Any) -> tuple[Tool, ...]:
    """Tools of either spelling."""
    tools = []
    for one in listed if isinstance(listed, list) else ():
        function = one.get("function", one) if isinstance(one, dict) else {}
        if isinstance(function, dict) and function.get("name"):
            schema = function.get("parameters") or function.get("input_schema") or {}
            tools.append(Tool(str(function["name"]), str(function.get("description") or ""), json.dumps(schema)))
    return tuple(tools)


def to_request(body: dict[str, Any]) -> Request | None:
    """A request to a chat API. None without messages, or where the provider runs tools or holds the history."""
    if body.get("previous_response_id") or body.get("conversation") or _runs_tools(body.get("tools")):
        return None
    listed = body.get("messages") or body.get("input") or ()
    if isinstance(listed, str):
        listed = [{"role": "user", "content": listed}]
    system = body.get("system") or body.get("instructions")
    head = (Message(Role.SYSTEM, to_text(system)),) if system else ()
    messages = (*head, *to_messages(listed))
    if not any(message.content for message in messages):
        return None
    tools = to_tools(body.get("tools"))
    stop = body.get("stop") or body.get("stop_sequences") or ()
    stop = (stop,) if isinstance(stop, str) else tuple(s for s in stop if isinstance(s, str))
    return Request(messages, "", tools, _choice(body.get("tool_choice"), tools), _format(body), Sampling(stop=stop))


def example(
    request: Request | None, text: str, called: bool, source: str, framework: str, session: str
) -> list[Example]:
    """An example, or none where there was nothing to read or nothing was produced."""
    label = observe(text, called)
    if request is None or label is StepKind.UNKNOWN:
        return []
    return [Example(request, label, source, framework, f"{source}:{session}", text)]


def steps_of(
    messages: tuple[Message, ...], tools: tuple[Tool, ...], source: str, framework: str, session: str
) -> Iterator[Example]:
    """Each assistant turn of a trajectory, with what came before it as the request."""
    choice = ToolChoice(ToolChoiceKind.AUTO if tools else ToolChoiceKind.NONE)
    for at, message in enumerate(messages):
        if message.role is Role.ASSISTANT and at and any(m.role is not Role.SYSTEM for m in messages[:at]):
            request = Request(messages[:at], "", tools, choice)
            yield from example(request, message.content, bool(message.tool_calls), source, framework, session)


def _runs_tools(listed: Any) -> bool:
    """A tool that is not the caller's: what the model calls then stays inside the provider's answer."""
    own = {"function", "custom", None}
    return any(isinstance(one, dict) and one.get("type") not in own for one in listed or ())


def _choice(asked: Any, tools: tuple[Tool, ...]) -> ToolChoice:
    if not tools or asked == "none":
        return ToolChoice(ToolChoiceKind.NONE)
    kind = asked.get("type") if isinstance(asked, dict) else asked
    if kind in {"required", "any"}:
        return ToolChoice(ToolChoiceKind.REQUIRED)
    if kind in {"function", "tool"} and isinstance(asked, dict):
        name = asked.get("name") or (asked.get("function") or {}).get("name")
        return ToolChoice(ToolChoiceKind.NAMED, str(name))
    return ToolChoice(ToolChoiceKind.NONE if kind == "none" else ToolChoiceKind.AUTO)


def _format(body: dict[str, Any]) -> ResponseFormat:
    asked = (
        body.get("response_format") or body.get("output_format") or body.get("output_config") or body.get("text") or {}
    )
    asked = asked.get("format", asked) if isinstance(asked, dict) else {}
    asked = asked if isinstance(asked, dict) else {}
    if asked.get("type") in {"json_schema", "json_object"}:
        return ResponseFormat(FormatKind.JSON_SCHEMA, "{}")
    return ResponseFormat()
