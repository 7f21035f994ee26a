"""Requests to convert."""

from __future__ import annotations

from typing import Any

from triroute.proto import chat_pb2, router_pb2

Chat, Message, Call, Tool = chat_pb2.Chat, chat_pb2.ChatMessage, chat_pb2.ToolCall, chat_pb2.Tool
Choice, Shape, Draw, Hints = chat_pb2.ToolChoice, chat_pb2.ResponseFormat, chat_pb2.Sampling, router_pb2.DecodeHints
USER, ASSISTANT, TOOL = chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_TOOL
SAID = Message(role=USER, content="hello")


def ask(*messages: Message, **fields: Any) -> router_pb2.GenerateRequest:
    return router_pb2.GenerateRequest(chat=Chat(messages=messages or [SAID]), **fields)


def tool(name: str = "f", parameters: str = "") -> Tool:
    return Tool(name=name, parameters_json=parameters)
