"""Tool calls as a grammar: the formats of the common chat templates, arguments held to their tool's schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from itertools import chain

from triroute.engine.budget import OutOfTime
from triroute.engine.chat import Tool
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import Constraint, compiled, distinct, styled
from triroute.engine.schemas import Held, hold
from triroute.engine.segments import Segmenter
from triroute.engine.segments.parameters import parameters_of
from triroute.engine.segments.written import INTERPRETER
from triroute.engine.tokenizer import Tokenizer
from triroute.engine.triggered import Openings, Triggered
from triroute.engine.types import FormatKind, Parameters, ResponseFormat

UNHELD = "strict"  # what is told where a strict tool's calls are held to no grammar
_UNHELD_BARE = "strict, in calls without an opening"
_KEPT = 32  # sets of tools
_NO_ARGUMENTS = '{"type": "object", "properties": {}, "additionalProperties": false}'
_MUST = 'start: "<tool_call>[" listed "]</tool_call>"'
_FREE = r"""
start: (tags | function | mistral) TEXT | "<|python_tag|>" " "? llama
tags: "<tool_call>" (list | call | in_function | "\n" (list | call | in_function) "\n") "</tool_call>"
list: "[" listed? "]"
in_function: "<function=" named
function: "<function=" named
mistral: "[TOOL_CALLS]" " "? ("[" listed "]" | by_name)
TEXT: /(?s:.*)/
AFTER: /[ \t\r\n;]*([^ \t\r\n;{\[](?s:.*))?/
tagged[lazy]: /\s*<parameter=(?s:.*)<\/function>/
CODE: /[^ \t\r\n;{\[](?s:.*)/
"""


class Calls(Enum):
    """Whether there must be calls. FREE: text, and calls from where one opens; MUST: calls, and nothing else."""

    FREE = auto()
    MUST = auto()


@dataclass(frozen=True, slots=True)
class _Tool:
    """What of a tool the grammar depends on. `index`: of all that are offered."""

    index: int
    name: str
    parameters: str
    strict: bool

    @property
    def held(self) -> Held:
        """The schema of its arguments, which are always an object."""
        held = hold(self.parameters or _NO_ARGUMENTS)
        return Held({"type": "object", **held.schema}, held.unenforced)

    @property
    def field(self) -> str:
        return f"tools[{self.index}].parameters_json"


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The grammar of a set of tools at its beginning, or what is wrong with them."""

    constraint: Constraint | None = None
    openings: Openings | None = None
    parameters: Parameters = field(default_factory=dict)
    refusal: tuple[str, str] = ("", "")


def compile_calls(
    tools: Sequence[Tool],
    calls: Calls,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int] = (),
    *,
    parallel: bool = True,
    named: str = "",
) -> Constraint:
    """A fresh constraint to calls of `tools`, of the `named` one alone where there is a name.

    The prompt may leave something open, which is where free text begins. Raises InvalidRequest when a tool's schema
    can't be compiled, or does not hold a strict tool's calls to all of it.
    """
    allowed = tuple(
        _Tool(index, tool.name, tool.parameters, tool.strict)
        for index, tool in enumerate(tools)
        if named in ("", tool.name)
    )
    made = _compile(allowed, calls, tokenizer, parallel)
    if made.constraint is None:
        raise InvalidRequest(*made.refusal)
    if made.openings is None:
        return made.constraint.copy()
    segmenter = Segmenter(tokenizer, prompt_ids, may_call=True, parameters=made.parameters)
    return Triggered(made.openings, segmenter, parallel=parallel)


@lru_cache(maxsize=_KEPT)
def _compile(tools: tuple[_Tool, ...], calls: Calls, tokenizer: Tokenizer, parallel: bool) -> _Compiled:
    try:
        constraint = _constraint(tools, calls, tokenizer, parallel=parallel)
    except InvalidRequest as refused:
        return _Compiled(refusal=(refused.field, refused.description))
    if calls is Calls.MUST:
        return _Compiled(constraint)
    if any(tool.strict for tool in tools):
        constraint.unenforced = (*constraint.unenforced, _UNHELD_BARE)
    parameters = parameters_of((tool.name, tool.parameters) for tool in tools)
    return _Compiled(constraint, Openings(constraint, tokenizer), parameters)


def _alone(tool: _Tool, tokenizer: Tokenizer) -> Constraint:
    return compiled(ResponseFormat(FormatKind.JSON_SCHEMA, styled(tool.held.schema)), tool.field, tokenizer)


def _constraint(tools: tuple[_Tool, ...], calls: Calls, tokenizer: Tokenizer, *, parallel: bool) -> Constraint:
    source = _source(tools, calls, parallel=parallel)
    try:
        constraint = compiled(ResponseFormat(FormatKind.LARK, source), "tools", tokenizer)
    except InvalidRequest:
        with suppress(OutOfTime):
            for tool in tools:  # says which is wrong, if it is one by itself
                _alone(tool, tokenizer)
        raise
    held = {tool: tool.held.unenforced for tool in tools}
    for tool in tools if constraint.unenforced or any(held.values()) else ():
        try:
            lost = distinct((*held[tool], *_alone(tool, tokenizer).unenforced)) if tool.strict else ()
        except OutOfTime as spent:
            raise InvalidRequest(tool.field, f"can't be compiled: {spent}") from spent
        if lost:
            raise InvalidRequest(
                tool.field, f"has {', '.join(lost)}, which a strict tool can't have: no grammar holds calls to it"
            )
    constraint.unenforced = distinct((*chain(*held.values()), *constraint.unenforced))
    return constraint


def _source(tools: tuple[_Tool, ...], calls: Calls, *, parallel: bool) -> str:
    """The grammar's text. In the free one, each call begins with its opening."""
    more = ' (", " call)*' if parallel else ""
    rules = [_MUST if calls is Calls.MUST else _FREE, f"listed: call{more}", _choice("call", tools)]
    rules += [f"arguments_{tool.index}: %json {styled(tool.held.schema)}" for tool in tools]
    rules += [_rule("call", tool, '{"name": NAME, "arguments": ', '"}"') for tool in tools]
    if calls is Calls.FREE:
        interpreted = any(tool.name == INTERPRETER and not tool.strict for tool in tools)
        again = ' ("; " llama_call)*' if parallel else ""
        rules += [
            f"llama: llama_call{again} AFTER" + (" | CODE" if interpreted else ""),
            'llama_call: "{" ("\\"type\\": \\"function\\", ")? llama_rest',
            _choice("llama_rest", tools),
            _choice("named", tools),
            _choice("by_name", tools),
        ]
        for tool in tools:
            rules.append(_rule("llama_rest", tool, '"name": NAME, "parameters": ', '"}"'))
            rules.append(_rule("by_name", tool, f"{tool.name}[ARGS]"))
            loose = "" if tool.strict else f" | {json.dumps(tool.name + '>')} tagged"
            rules.append(_rule("named", tool, f"{tool.name}>", '"</function>"') + loose)
    return "\n".join(rules)


def _choice(rule: str, tools: tuple[_Tool, ...]) -> str:
    return f"{rule}: {' | '.join(f'{rule}_{tool.index}' for tool in tools)}"


def _rule(rule: str, tool: _Tool, before: str, after: str = "") -> str:
    """A call of one tool: what stands before its arguments, and after them."""
    opening = json.dumps(before.replace("NAME", json.dumps(tool.name)))
    return f"{rule}_{tool.index}: {opening} arguments_{tool.index} {after}"
