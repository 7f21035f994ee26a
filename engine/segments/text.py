"""Prose and lists: the text around all other parts, and where those open."""

from __future__ import annotations

import re

from triroute.engine.segments.call import Call, Style
from triroute.engine.segments.fence import fence_in
from triroute.engine.segments.part import Part
from triroute.engine.segments.thinking import CLOSINGS, Thinking
from triroute.engine.types import SegmentKind, WrittenCall

_STYLES = {
    b"<tool_call>": Style.TAGS,
    b"<function=": Style.FUNCTION,
    b"<|python_tag|>": Style.PYTHON,
    b"[TOOL_CALLS]": Style.BRACKET,
}
_TAG = re.compile(b"(?<!`)(?:" + b"|".join(map(re.escape, [*_STYLES, *CLOSINGS])) + b")")  # `<tag>` only names it
_LONGEST_TAG = 16
_BARE = re.compile(rb'\s*\[?\s*\{\s*"(?:(?:name|tool_name|tool|function)"\s*:|type"\s*:\s*"function")')
_MAYBE_BARE = re.compile(rb'\s*(?:\[\s*)?(?:\{\s*(?:"[a-z_]{0,9}(?:"\s*(?::\s*(?:"[a-z]{0,8})?)?)?)?)?')
_LONGEST_BARE = 64
_ITEM = re.compile(rb"[ \t]*(?:[-*+]|\xe2\x80\xa2|\d{1,3}[.)])[ \t]+[^ \t\r]|(?:#{1,6} |\*\*)?[Ss]tep \d")
_KNOWN_AFTER = 16  # bytes of a line that tell whether it is an item
_PROSE, _PLAN = (SegmentKind.PROSE,), (SegmentKind.PLAN,)


class Text:
    """A list goes on over lines that are blank or indented. Calls without an opening are seen where they `may_call`."""

    def __init__(self, *, may_call: bool) -> None:
        self.opened: Part | None = None
        self.calls: list[WrittenCall] = []
        self.kinds = _PROSE
        self._line = b""
        self._lead: bytes | None = b"" if may_call else None  # all of the output, while it may be a call
        self._lead_token = 0

    def feed(self, data: bytes, token: int) -> bytes | None:
        self.opened = None
        if self._lead is not None:
            lead = self._leads(data, token)
            if lead is None or self.opened:
                return lead
            data = lead
        while True:
            chunk, newline, rest = data.partition(b"\n")
            known = len(self._line)
            self._line += chunk
            tag = _TAG.search(self._line, max(0, known - _LONGEST_TAG))
            if tag:
                after, self._line = self._line[tag.end() :], b""
                self.opened = Thinking(tag.group()) if tag.group() in CLOSINGS else Call(_STYLES[tag.group()])
                return after + newline + rest
            if not newline:
                self._judge(self._line, whole=False)
                return None
            line, self._line, data = self._line, b"", rest
            self._judge(line, whole=True)
            self.opened = fence_in(line)
            if self.opened:
                return data

    def end(self, token: int) -> None:
        """Nothing to do."""

    def _leads(self, data: bytes, token: int) -> bytes | None:
        """Wait until it is known whether the output begins with a call; then everything so far."""
        if not (self._lead or b"").strip():
            self._lead_token = token
        lead = (self._lead or b"") + data
        self._lead = lead
        if _BARE.match(lead):
            self.opened, self._lead = Call(Style.BARE, self._lead_token), None
            return lead
        if len(lead) <= _LONGEST_BARE and _MAYBE_BARE.fullmatch(lead):
            return None
        self._lead = None
        return lead

    def _judge(self, line: bytes, *, whole: bool) -> None:
        """Whether a line, or its beginning, belongs to a list."""
        if _ITEM.match(line):
            self.kinds = _PLAN
        elif (whole or len(line) >= _KNOWN_AFTER) and line.strip() and line[:1] not in (b" ", b"\t"):
            self.kinds = _PROSE
