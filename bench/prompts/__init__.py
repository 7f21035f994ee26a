"""What the engines are asked to continue, tokenized once for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import gguf

from triroute.bench.jobs import renewed
from triroute.engine.chat import Message, Role, Tool, ToolCall, encode_chat
from triroute.engine.tokenizer import Tokenizer

FOLDER = Path(__file__).parent
TOPICS = (
    "bread, from grain pounded between stones to the bakeries of the cities",
    "sailing ships, and of the people who drew the first charts",
    "glass, and of the towns that kept its making secret",
    "railways, and of what they did to the clocks of small stations",
    "paper, and of the mills that stood on every fast river",
    "bridges, and of the builders who learned from those that fell",
    "lighthouses, and of the families who kept them burning",
    "printing, and of the first shops that sold books by the sheet",
)


@dataclass(frozen=True, slots=True)
class ToolCase:
    """A conversation that asks for a call of one tool, and the JSON Schema that its arguments must follow."""

    name: str
    ids: tuple[int, ...]
    schema: str


class Prompts:
    """Prompts as token ids of one checkpoint."""

    def __init__(self, model: Path) -> None:
        reader = gguf.GGUFReader(model)
        self._tokenizer = Tokenizer.from_gguf(reader)
        field = reader.fields.get("tokenizer.chat_template")
        self._template = str(field.contents()) if field is not None else None
        self._numbers = count()

    @cached_property
    def agent_steps(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and prompt of each step of agent_steps.jsonl."""
        lines = (FOLDER / "agent_steps.jsonl").read_text(encoding="utf-8").splitlines()
        return tuple((step["id"], self._chat(step)) for step in map(json.loads, lines))

    @cached_property
    def tool_calls(self) -> tuple[ToolCase, ...]:
        """The cases of tool_calls.json."""
        cases = json.loads((FOLDER / "tool_calls.json").read_text(encoding="utf-8"))
        return tuple(self._tool_case(case) for case in cases)

    @cached_property
    def stories(self) -> tuple[tuple[int, ...], ...]:
        """Openings of eight texts that go on for long."""
        return tuple(
            tuple(self._tokenizer.encode(f"Chapter 1\n\nThis is the long history of {topic}. It begins"))
            for topic in TOPICS
        )

    def long(self, tokens: int) -> tuple[int, ...]:
        """A prompt of exactly so many tokens that no cache has seen: its first ones differ from call to call."""
        text = (FOLDER / "long.txt").read_text(encoding="utf-8")
        ids = islice(cycle(self._tokenizer.encode(text)), tokens)
        return renewed(tuple(ids), next(self._numbers))

    def _tool_case(self, case: dict[str, Any]) -> ToolCase:
        function = case["tool"]
        tool = {"name": function["name"], "description": function["description"], "parameters": function["parameters"]}
        ids = self._chat({"messages": case["messages"], "tools": [tool]})
        return ToolCase(function["name"], ids, json.dumps(_call_schema(function["name"], function["parameters"])))

    def _chat(self, step: dict[str, Any]) -> tuple[int, ...]:
        messages = tuple(
            Message(
                Role(turn["role"]),
                turn["content"],
                tuple(ToolCall(call["name"], json.dumps(call["arguments"])) for call in turn.get("tool_calls", ())),
            )
            for turn in step["messages"]
        )
        tools = tuple(
            Tool(tool["name"], tool["description"], json.dumps(tool["parameters"])) for tool in step.get("tools", ())
        )
        return encode_chat(messages, tools, self._template, self._tokenizer)


def _call_schema(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A tool call as JSON: the tool's name and its arguments."""
    properties = {"name": {"const": name}, "arguments": parameters}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
