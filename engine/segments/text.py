"""Prose and lists: the text around all other parts, and where those open."""

from __future__ import annotations

import copy
import re

from triroute.engine.segments.call import Call, Style
from triroute.engine.segments.fence import fence_in
from triroute.engine.segments.part import Part
from triroute.engine.segments.thinking import CLOSINGS, Thinking
from triroute.engine.types import CallEvent, Parameters, SegmentKind

OPENINGS = {
    b"<tool_call>": Style.TAGS,
    b"<function=": Style.FUNCTION,
    b"<|python_tag|>": Style.PYTHON,
    b"[TOOL_CALLS]": Style.BRACKET,
}
OPENING_OF = {style: opening for opening, style in OPENINGS.items()}
_HALVES = sorted({opening[:end] for opening in OPENINGS for end in range(1, len(opening))}, key=len, reverse=True)
_HALF = re.compile(b"`?(?:" + b"|".join(map(re.escape, _HALVES)) + rb")\Z")  # behind a backtick it is only named
_TAG = re.compile(b"(?<!`)(?:" + b"|".join(map(re.escape, [*OPENINGS, *CLOSINGS])) + b")")  # `<tag>` only names it
_LONGEST_TAG = 16
_BARE = re.compile(
    rb'\s*\[?\s*\{\s*"'
    rb'(?:(?:name|tool_name|tool|function)"\s*:|type"\s*:\s*"function"|(?:arguments|parameters)"\s*:\s*\{)'
)
_PYTHONIC = re.compile(rb"\s*\[\s*(?P<name>[\w-][\w.-]*)\(")
_MAYBE_LEAD = re.compile(
    rb'\s*(?:\[\s*[\w-][\w.-]*|(?:\[\s*)?(?:\{\s*(?:"[a-z_]{0,10}(?:"\s*(?::\s*(?:"[a-z]{0,8})?)?)?)?)?)'
)
_LONGEST_LEAD = 128
_ITEM = re.compile(rb"[ \t]*(?:[-*+]|\xe2\x80\xa2|\d{1,3}[.)])[ \t]+[^ \t\r]|(?:#{1,6} |\*\*)?[Ss]tep \d")
_KNOWN_AFTER = 16  # bytes of a line that tell whether it is an item
_PROSE, _PLAN = (SegmentKind.PROSE,), (SegmentKind.PLAN,)


class Text:
    """A list goes on over lines that are blank or indented. Calls without an opening are seen where they `may_call`."""

    def __init__(self, *, may_call: bool, parameters: Parameters) -> None:
        self.opened: Part | None = None
        self.calls: list[CallEvent] = []
        self.kinds = _PROSE
        self._line = b""  # so far
        self._parameters = parameters
        self._lead: bytes | None = b"" if may_call else None  # all of the answer, while it may be a call
        self._lead_token = 0
        self._blank = may_call  # nothing but thinking so far

    @property
    def tail(self) -> bytes:
        """What an opening may have begun in."""
        return self._lead or self._line

    @property
    def undecided(self) -> int:
        """Bytes at the end that may be the beginning of a call."""
        if self._lead is not None:
            return len(self._lead)
        half = half_opening(self._line)
        return 0 if half.startswith(b"`") else len(half)

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
                self._judge(self._line[: tag.end() - 1], whole=False)  # as if it had come byte by byte
                self.opened = self._open(tag, token)
                after, self._line = self._line[tag.end() :], b""
                return after + newline + rest
            if not newline:
                self._judge(self._line, whole=False)
                return None
            line, self._line, data = self._line, b"", rest
            self._blank = self._blank and not line.strip()
            self._judge(line, whole=True)
            self.opened = fence_in(line)
            if self.opened:
                return data

    def copy(self) -> Text:
        return copy.copy(self)  # it has no calls, ever

    def end(self, token: int) -> None:
        """Nothing to do."""

    def _open(self, tag: re.Match[bytes], token: int) -> Part:
        self._blank = self._blank and not self._line[: tag.start()].strip()
        if tag.group() not in CLOSINGS:
            self._blank = False
            return Call(OPENINGS[tag.group()], token, self._parameters)
        self._lead = b"" if self._blank else None
        return Thinking(tag.group())

    def _leads(self, data: bytes, token: int) -> bytes | None:
        """Wait until it is known whether the output begins with a call; then everything so far."""
        if not (self._lead or b"").strip():
            self._lead_token = token
        lead = (self._lead or b"") + data
        self._lead = lead
        pythonic = _PYTHONIC.match(lead)
        if _BARE.match(lead) or (pythonic and pythonic["name"].decode() in self._parameters):
            style = Style.PYTHONIC if pythonic else Style.BARE
            self.opened, self._lead, self._blank = Call(style, self._lead_token, self._parameters), None, False
            return lead
        if len(lead) <= _LONGEST_LEAD and _MAYBE_LEAD.fullmatch(lead):
            return None
        self._lead = None
        return lead

    def _judge(self, line: bytes, *, whole: bool) -> None:
        """Whether a line, or its beginning, belongs to a list."""
        if _ITEM.match(line):
            self.kinds = _PLAN
        elif (whole or len(line) >= _KNOWN_AFTER) and line.strip() and line[:1] not in (b" ", b"\t"):
            self.kinds = _PROSE


def half_opening(tail: bytes) -> bytes:
    """The beginning of an opening that `tail` ends with, and a backtick before it, where there is one."""
    found = _HALF.search(tail[-_LONGEST_TAG:])
    return found.group() if found else b""
