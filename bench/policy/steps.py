"""The steps that are asked about: a short one, and one of an agent in the middle of its work."""

from __future__ import annotations

import json

from triroute.proto import chat_pb2, router_pb2

_ROUNDS, _TOOLS = 6, 8


def short() -> router_pb2.GenerateRequest:
    """One user message."""
    message = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content="What is the weather in Lisbon?")
    return router_pb2.GenerateRequest(chat=chat_pb2.Chat(messages=[message]), sampling=chat_pb2.Sampling(max_tokens=64))


def agent() -> router_pb2.GenerateRequest:
    """A system prompt, eight tools with schemas, six rounds of calls and results, a session and a tenant; 9 kB."""
    chat = chat_pb2.Chat()
    chat.messages.add(role=chat_pb2.ROLE_SYSTEM, content="You are a careful assistant. Use the tools. " * 40)
    chat.messages.add(role=chat_pb2.ROLE_USER, content="Find the three largest files of the project, and say why.")
    for number in range(_ROUNDS):
        turn = chat.messages.add(role=chat_pb2.ROLE_ASSISTANT)
        turn.tool_calls.add(id=f"c{number}", name="tool_1", arguments_json=json.dumps({"path": f"src/{number}"}))
        listing = "\n".join(f"{size} src/{number}/file_{size}.py" for size in range(20))
        chat.messages.add(role=chat_pb2.ROLE_TOOL, tool_call_id=f"c{number}", content=listing)
    properties = {"path": {"type": "string", "description": "From the root."}, "deep": {"type": "boolean"}}
    schema = json.dumps({"type": "object", "properties": properties, "required": ["path"]})
    tools = [
        chat_pb2.Tool(name=f"tool_{number}", description="Looks at files.", parameters_json=schema)
        for number in range(_TOOLS)
    ]
    sampling = chat_pb2.Sampling(max_tokens=256, temperature=0.2, seed=7)
    return router_pb2.GenerateRequest(chat=chat, tools=tools, sampling=sampling, session_id="s-1", tenant="acme")
