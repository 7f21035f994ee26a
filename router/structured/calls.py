"""Tool calls as typed events while they are written: name first, then the arguments' text as it comes.

Reads the syntax that calls are held to, `<tool_call>[{"name": NAME, "arguments": OBJECT}, ...]</tool_call>`. A call in
any other syntax comes as a whole once the engine has read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from triroute.proto import engine_pb2, router_pb2
from triroute.router.segments import call_id

_OPENING = "<tool_call>["
_HEAD = re.compile(r'\s*\}?\s*,?\s*\{"name": ("(?:[^"\\]|\\.){1,256}"), "arguments": (?=\{)')
_MARKS = re.compile(r'["{}\\]')


@dataclass(slots=True)
class CallStream:
    """`told` counts the characters of arguments that went out, for each call."""

    request_id: str
    names: list[str] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    _rest: str = ""  # not read so far
    _inside: bool = False  # behind an opening
    _depth: int = 0  # of braces in the arguments that are being read; 0 is between calls
    _quoted: bool = False
    _escaped: bool = False
    _complete: int = 0

    def feed(self, text: str) -> Iterator[router_pb2.ToolCallDelta]:
        """More of the output."""
        self._rest += text
        while True:
            if not self._inside:
                at = self._rest.find(_OPENING)
                if at < 0:
                    self._rest = self._rest[-len(_OPENING) :]
                    return
                self._rest, self._inside = self._rest[at + len(_OPENING) :], True
            if not self._depth:
                head = _HEAD.match(self._rest)
                if head is None:
                    if self._rest.lstrip().removeprefix("}").lstrip().startswith("]"):
                        self._inside = False
                        continue
                    return
                self._rest = self._rest[head.end() :]
                yield self._begin(json.loads(head[1]))
                self._depth, self._quoted, self._escaped = 1, False, False
                yield from self._arguments("{")
                self._rest = self._rest[1:]
            end = self._end()
            piece, self._rest = self._rest[:end], self._rest[end:]
            yield from self._arguments(piece)
            if self._depth:
                return

    def complete(self, calls: Iterable[engine_pb2.WrittenCall]) -> Iterator[router_pb2.ToolCallDelta]:
        """Calls that the engine has read to their end: whatever of them did not go out yet."""
        for call in calls:
            number, self._complete = self._complete, self._complete + 1
            if number == len(self.names):
                yield self._begin(call.name)
            if self.names[number] != call.name:
                continue
            if rest := call.arguments_json[self.told[number] :]:
                self.told[number] += len(rest)
                yield self._delta(number, rest)

    def _begin(self, name: str) -> router_pb2.ToolCallDelta:
        self.names.append(name)
        self.told.append(0)
        delta = self._delta(len(self.names) - 1, "")
        delta.name = name
        return delta

    def _arguments(self, piece: str) -> Iterator[router_pb2.ToolCallDelta]:
        if piece:
            self.told[-1] += len(piece)
            yield self._delta(len(self.told) - 1, piece)

    def _delta(self, number: int, arguments: str) -> router_pb2.ToolCallDelta:
        return router_pb2.ToolCallDelta(index=number, id=call_id(self.request_id, number), arguments_json=arguments)

    def _end(self) -> int:
        """Characters that belong to the arguments; sets the depth to 0 where they end."""
        at = 0
        while at < len(self._rest):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = _MARKS.search(self._rest, at)
            if found is None:
                break
            at = found.end()
            match found[0]:
                case "\\":
                    self._escaped = self._quoted
                case '"':
                    self._quoted = not self._quoted
                case mark if not self._quoted:
                    self._depth += 1 if mark == "{" else -1
                    if not self._depth:
                        return at
        return len(self._rest)
