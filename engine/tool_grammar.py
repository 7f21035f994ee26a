"""Tool calls as a grammar: the syntax of the chat template, each call's arguments held to its tool's schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum, auto

from triroute.engine.chat import Tool
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compiled, styled
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.types import FormatKind, ResponseFormat

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


class Calls(Enum):
    """Whether there must be calls. FREE: text, and calls from where one opens; MUST: calls, and nothing else."""

    FREE = auto()
    MUST = auto()


def compile_calls(
    tools: Sequence[Tool], calls: Calls, tokenizer: Tokenizer, *, parallel: bool = True, named: str = ""
) -> Constraint:
    """A fresh constraint to calls of `tools`, of the `named` one alone where there is a name.

    Raises InvalidRequest when a tool's schema can't be compiled, or does not hold a strict tool's calls to all of it.
    """
    allowed = [(index, tool) for index, tool in enumerate(tools) if named in ("", tool.name)]
    rules, missing = [], list[str]()
    for index, tool in allowed:
        schema = _schema(tool)
        field = f"tools[{index}].parameters_json"
        lost = compiled(ResponseFormat(FormatKind.JSON_SCHEMA, schema), field, tokenizer).unenforced
        if lost and tool.strict:
            raise InvalidRequest(
                field, f"has {', '.join(lost)}, which a strict tool can't have: no grammar holds calls to it"
            )
        missing += lost
        opening = json.dumps(f'{{"name": {json.dumps(tool.name)}, "arguments": ')
        rules.append(f'call_{index}: {opening} arguments_{index} "}}"\narguments_{index}: %json {schema}')
    choice = " | ".join(f"call_{index}" for index, _ in allowed)
    more = ' (", " call)*' if parallel else ""
    source = "\n".join([_start(calls, f"call{more}", parallel=parallel), f"call: {choice}", *rules])
    constraint = compiled(ResponseFormat(FormatKind.LARK, source), "tools", tokenizer)
    constraint.unenforced = tuple(dict.fromkeys(missing))
    return constraint


def _start(calls: Calls, listed: str, *, parallel: bool) -> str:
    if calls is Calls.MUST:
        return f'start: "{_OPENING}[" {listed} "]{_CLOSING}"'
    times = "*" if parallel else "?"
    return (
        f"start: part{times} TAIL\n"
        f'part: head "[" ({listed})? "]{_CLOSING}"\n'
        f"head[lazy]: /(?s:.*){_OPENING}/\n"
        f"TAIL: /(?s:.*)/ & ~/(?s:.*{_OPENING}.*)/"
    )


def _schema(tool: Tool) -> str:
    """The schema of its arguments, which are always an object."""
    schema = json.loads(tool.parameters) if tool.parameters else _NO_ARGUMENTS
    return styled(json.dumps({"type": "object", **schema}))
