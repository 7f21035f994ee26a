"""Conversations to prompts: the checkpoint's chat template, with tools as SmolLM2 was taught to see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import jinja2
import jinja2.sandbox

from triroute.engine.errors import InvalidRequest
from triroute.engine.tokenizer import Tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_TOOLS = """You are an expert in composing functions. You are given a question and a set of possible functions. \
Based on the question, you will need to make one or more function/tool calls to achieve the purpose. \
If none of the functions can be used, point it out and refuse to answer.

You have access to the following tools:
<tools>{tools}</tools>

The output MUST strictly adhere to the following format, and NO other text MUST be included.
The example format is as follows. Please make sure the parameter type is correct. If no function call is needed, \
please make the tool calls an empty list '[]'.
<tool_call>[
{{"name": "func_name1", "arguments": {{"argument1": "value1", "argument2": "value2"}}}},
... (more tool calls as required)
]</tool_call>"""


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of an earlier turn; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is JSON Schema text, empty for none.

    `strict`: a schema that no grammar can hold calls to is refused.
    """

    name: str
    description: str
    parameters: str
    strict: bool = False


def encode_chat(
    messages: tuple[Message, ...],
    tools: tuple[Tool, ...],
    template: str | None,
    tokenizer: Tokenizer,
    most: int | None = None,
) -> tuple[int, ...]:
    """Token ids of the prompt, as `Tokenizer.encode` gives them. Text of the caller never becomes a control token.

    Raises InvalidRequest when the template refuses the conversation.
    """
    turns = [{"role": m.role.value, "content": tokenizer.guard(_content(m))} for m in messages]
    if tools:
        turns = _with_tools(turns, tokenizer.guard(_describe(tools)))
    try:
        text = _compile(template or CHATML).render(messages=turns, add_generation_prompt=True)
    except jinja2.TemplateError as error:
        raise InvalidRequest("chat.messages", f"the checkpoint's chat template refused them: {error}") from error
    return tuple(tokenizer.encode(text, special=True, most=most))


def _content(message: Message) -> str:
    if not message.tool_calls:
        return message.content
    calls = ", ".join(
        f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}' for call in message.tool_calls
    )
    called = f"<tool_call>[{calls}]</tool_call>"
    return f"{message.content}\n{called}" if message.content else called


def _with_tools(turns: list[dict[str, str]], described: str) -> list[dict[str, str]]:
    if turns[0]["role"] == Role.SYSTEM:
        first, rest = turns[0]["content"] + "\n\n", turns[1:]
    else:
        first, rest = "", turns
    return [{"role": Role.SYSTEM.value, "content": first + described}, *rest]


def _describe(tools: tuple[Tool, ...]) -> str:
    functions = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(tool.parameters or "{}"),
            },
        }
        for tool in tools
    ]
    # JSON may escape what is no character, and no text can hold: half of a surrogate pair
    described = json.dumps(functions, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return _TOOLS.format(tools=described)


@lru_cache(maxsize=8)
def _compile(template: str) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template)
