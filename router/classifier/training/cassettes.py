"""Recorded calls of model APIs (VCR cassettes), as agent frameworks keep them for their tests, to examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from triroute.router.classifier.training.chats import Example, example, to_calls, to_request, to_text

_WITHIN = {
    "server_tool_use",
    "web_search_call",
    "code_interpreter_call",
    "mcp_call",
    "file_search_call",
    "tool_search_call",
}
_WITHIN |= {"image_generation_call", "mcp_list_tools", "web_search_tool_result", "computer_call", "shell_call"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def examples(text: str, source: str, framework: str, session: str) -> Iterator[Example]:
    """One for each recorded call of a chat API that was answered. A file that can't be read has none."""
    try:
        recorded = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError):
        return
    recorded = recorded if isinstance(recorded, dict) else {}
    for interaction in recorded.get("interactions") or recorded.get("http_interactions") or ():  # Python's, and Ruby's
        if not isinstance(interaction, dict):
            continue
        body = _body(interaction.get("request"))
        request = to_request(body) if body else None
        said, called = _answer(interaction.get("response"))
        if request is not None and called and not request.tools:
            continue  # of a provider's own spelling of tools
        yield from example(request, said, called, source, framework, session)


def _body(side: Any) -> dict[str, Any] | None:
    """A side's body as JSON."""
    side = side if isinstance(side, dict) else {}
    parsed = side.get("parsed_body")
    if isinstance(parsed, dict):
        return parsed
    try:
        loaded = json.loads(_raw(side))
    except ValueError:
        return None
    return loaded if isinstance(loaded, dict) else None


def _raw(side: dict[str, Any]) -> str:
    body = side.get("body") or side.get("content") or ""
    body = body.get("string", "") if isinstance(body, dict) else body
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)


def _answer(side: Any) -> tuple[str, bool]:
    """What the model said, and whether it called a tool; ("", False) where it failed."""
    body = _body(side)
    if body is None and isinstance(side, dict):
        return _streamed(_raw(side))
    body = body or {}
    if isinstance(body.get("choices"), list) and body["choices"]:  # OpenAI
        message = body["choices"][0].get("message") or {}
        called = bool(to_calls(message.get("tool_calls")) or message.get("function_call"))
        return to_text(message.get("content")), called
    if isinstance(body.get("message"), dict):  # Ollama
        return to_text(body["message"].get("content")), bool(to_calls(body["message"].get("tool_calls")))
    blocks = (
        body.get("content") if isinstance(body.get("content"), list) else body.get("output")
    )  # Anthropic, Responses
    blocks = [b for b in blocks if isinstance(b, dict)] if isinstance(blocks, list) else []
    if any(str(b.get("type")) in _WITHIN for b in blocks):
        return "", False
    called = any(b.get("type") in {"tool_use", "function_call", "custom_tool_call"} for b in blocks)
    return to_text([b for b in blocks if b.get("type") in {"text", "message"}]), called


def _streamed(raw: str) -> tuple[str, bool]:
    """The same from server-sent events."""
    said: list[str] = []
    called = False
    for line in raw.splitlines():
        if not line.startswith("data:"):
            continue
        try:
            event = json.loads(line[5:])
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            said.append(to_text(delta.get("content")))
            called = called or bool(delta.get("tool_calls"))
        delta = event.get("delta")
        if isinstance(delta, dict):
            said.append(str(delta.get("text") or ""))
        elif isinstance(delta, str) and event.get("type") == "response.output_text.delta":
            said.append(delta)
        block = event.get("content_block") or event.get("item")
        if isinstance(block, dict) and block.get("type") in _WITHIN:
            return "", False
        called = called or (isinstance(block, dict) and block.get("type") in {"tool_use", "function_call"})
    return "".join(said), called
