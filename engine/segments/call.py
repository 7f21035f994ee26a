"""Tool calls in the text, in the formats of the common chat templates.

| style | opens with | holds | ends |
|---|---|---|---|
| TAGS (Hermes, Qwen, SmolLM) | `<tool_call>` | an object, a list of them, or `<function=...>` | `</tool_call>` |
| FUNCTION (Llama, Qwen Coder) | `<function=NAME>` | an object, or `<parameter=KEY>` tags | `</function>` |
| PYTHON (Llama) | `<|python_tag|>` | objects, or code | with the objects, or the output |
| BRACKET (Mistral) | `[TOOL_CALLS]` | a list of objects, or `NAME[ARGS]` and an object | with it |
| BARE (Llama) | nothing, at the beginning | an object that has a name, or a list of them | with it |
| PYTHONIC (Llama) | nothing, at the beginning | `[NAME(KEY=VALUE), ...]` | with it |
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from enum import Enum, auto

from triroute.engine.segments.json_scan import JsonScan
from triroute.engine.segments.marks import Marks
from triroute.engine.segments.news import News
from triroute.engine.segments.part import CODE_NAMES
from triroute.engine.segments.pythonic import PythonScan, calls_in
from triroute.engine.segments.written import arguments_in, call_in, code_call, head_of, parameters_json
from triroute.engine.types import CallEvent, Parameters, SegmentKind

_LONGEST_NAME = 256
_CALL, _CODE = (SegmentKind.TOOL_CALL,), (SegmentKind.CODE, SegmentKind.TOOL_CALL)


class Style(Enum):
    """How calls are written."""

    TAGS = auto()
    FUNCTION = auto()
    PYTHON = auto()
    BRACKET = auto()
    BARE = auto()
    PYTHONIC = auto()


_UNOPENED = (Style.BARE, Style.PYTHONIC)
_BETWEEN_TAGS = Marks(b"</tool_call>", b"<function=", b"{", b"[")
_IN_FUNCTION = Marks(b"</function>", b"<parameter=", b"{", b"</tool_call>")
_BLANK = re.compile(rb"[\s,;]*(?:```[a-z]*)?[\s,;]*")  # some models fence what they write between tags
_NAME_END, _PARAMETER_END, _OBJECT = Marks(b">"), Marks(b"</parameter>"), Marks(b"{")


class Call:
    """One or more calls behind one opening, which token `opened_at` completed. Without one, the first begins there."""

    opened = None

    def __init__(self, style: Style, opened_at: int, parameters: Parameters) -> None:
        self.style = style
        self.calls: list[CallEvent] = []
        self._news = News(self.calls)
        self._types = parameters
        self.text = bytearray()  # behind the opening
        self._at = 0  # looked at so far
        self._opened_at = self._token = self._first = opened_at
        self._leads = style in _UNOPENED  # the next call begins where it opened
        self._scan, self._list = JsonScan(), PythonScan()
        self._start = self._base = 0  # of the object that is being read; the depth around it
        self._name = self._parameter = ""
        self._parameters: dict[str, str] = {}
        self._over = self._read = False  # `_read`: something that may be in it
        self._between_from = 0  # between tags: where what was read last has ended
        self._any = self._junk = False  # a call was read; something else was, between tags
        begins = {Style.TAGS: self._between, Style.FUNCTION: self._function, Style.PYTHONIC: self._pythonic}
        self._step: Callable[[], bool] = begins.get(style, self._first_mark)

    @property
    def kinds(self) -> tuple[SegmentKind, ...]:
        if self._step == self._json:
            return _CODE if self._scan.in_code else _CALL
        if self._step == self._value:
            return _CODE if self._parameter.encode() in CODE_NAMES else _CALL
        return _CODE if self._step == self._code else _CALL

    def feed(self, data: bytes, token: int) -> bytes | None:
        self.text += data
        self._token = token
        while not self._over and self._step():
            pass
        return bytes(self.text[self._at :]) if self._over else None

    def copy(self) -> Call:
        return copy.deepcopy(self, {id(self._types): self._types})

    def end(self, token: int) -> None:
        self._token = token - 1
        if self._step == self._code and self.text.strip():
            self._news.end(code_call(self._string(0, len(self.text))), self._first, token)
        elif self._name or not self._read or self._step in (self._json, self._function):
            self._broken()

    def _first_mark(self) -> bool:
        """What follows an opening that ends with nothing but its object; and what follows that."""
        rest = bytes(self.text[self._at :]).lstrip(b" \t\r\n;")
        if not rest:
            return False
        at = len(self.text) - len(rest)
        if rest[:1] in (b"{", b"["):
            self._at = at
            return self._open_json()
        if self.style is Style.PYTHON and not self._read:
            self._first, self._read = self._token, True
            return self._go(self._code)
        if self.style is Style.BRACKET:
            self._first = self._token
            return self._go(self._bracket_name)
        return self._stop()

    def _bracket_name(self) -> bool:
        """NAME, maybe [CALL_ID] and an id, maybe [ARGS], up to the arguments."""
        found, start = _OBJECT.find(self.text, 0)
        if not found:
            return len(self.text) > _LONGEST_NAME and self._stop(broken=True)
        self._name, self._at = self._string(0, start).partition("[")[0].strip(), start
        return self._open_json()

    def _between(self) -> bool:
        mark, start = _BETWEEN_TAGS.find(self.text, self._at)
        self._at = start + len(mark)
        if mark and not self._junk and not _BLANK.fullmatch(self.text, self._between_from, start):
            self._junk = True
            self._broken()
        if mark in (b"{", b"["):
            self._at = start
            return self._open_json()
        if mark == b"<function=":
            self._read = True
            return self._go(self._function)
        return bool(mark) and self._stop(broken=not self._read and not self._junk)

    def _function(self) -> bool:
        """NAME>"""
        mark, end = _NAME_END.find(self.text, self._at)
        if not mark:
            return len(self.text) - self._at > _LONGEST_NAME and self._stop(broken=True)
        self._name, self._at, self._parameters, self._first = self._string(self._at, end), end + 1, {}, self._token
        self._read = bool(self._name) or self._broken()
        return self._go(self._arguments)

    def _arguments(self) -> bool:
        """An object, or parameters in tags."""
        mark, start = _IN_FUNCTION.find(self.text, self._at)
        self._at = start + len(mark)
        if mark == b"{" and (self._name or self._read):
            self._at = start
            return self._open_json() if self._name else self._stop(broken=True)
        if mark == b"<parameter=":
            return self._go(self._parameter_name)
        if mark == b"</function>":
            if self._name:
                arguments = parameters_json(self._parameters, self._types.get(self._name, {}))
                self._news.end((self._name, arguments), self._first, self._token + 1)
            self._name = ""
            return self._go(self._after_json()) if self.style is Style.TAGS else self._stop()
        return self._stop(broken=bool(self._name)) if mark == b"</tool_call>" else bool(mark)

    def _parameter_name(self) -> bool:
        """KEY>"""
        mark, end = _NAME_END.find(self.text, self._at)
        if not mark:
            return len(self.text) - self._at > _LONGEST_NAME and self._stop(broken=True)
        self._parameter, self._start, self._at = self._string(self._at, end), end + 1, end + 1
        return self._go(self._value)

    def _value(self) -> bool:
        """A parameter's value, without the line ends around it."""
        mark, end = _PARAMETER_END.find(self.text, self._at)
        self._at = end + len(mark)
        if not mark:
            return False
        value = self._string(self._start, end).removeprefix("\n").removesuffix("\n")
        self._parameters[self._parameter] = value
        return self._go(self._arguments)

    def _code(self) -> bool:
        self._at = len(self.text)
        return False

    def _pythonic(self) -> bool:
        self._at, ended = self._list.feed(self.text, self._at)
        if not ended:
            return False
        for call in calls_in(self._string(0, self._at)) or []:
            self._news.end(call, self._first, self._token + 1)
        return self._stop()

    def _open_json(self) -> bool:
        self._scan, self._base, self._read, self._start = JsonScan(), 0, True, self._at
        return self._go(self._json)

    def _json(self) -> bool:
        """An object, or a list of them."""
        scan = self._scan
        self._at, mark = scan.feed(self.text, self._at)
        depth = scan.depth - self._base
        match mark:
            case 0:
                self._news.more(self.text, self._at, self._token + 1)
                return False
            case 0x3C:  # `<`: no JSON any more
                self._news.more(self.text, self._at, self._token + 1)
                self._broken()
                return self._go(self._after_json())
            case 0x5B if scan.depth == 1 and not self._name:
                self._base = 1
            case 0x7B if depth == 1:
                self._begin()
            case 0x7B if depth == 2 and not self._name:
                name = head_of(self._string(self._start, self._at - 1))
                if name and self._offered(name):
                    self._news.begin(name, self._at - 1, self._token + 1)
            case 0x7D | 0x5D if depth == 1:
                self._news.close(self.text, self._at, self._token + 1)
            case 0x7D | 0x5D if depth == 0:
                self._object()
            case 0x5D if not scan.depth and self.text[self._start : self._start + 1] == b"[":
                if self.text[self._start + 1 : self._at - 1].strip():
                    self._broken()  # a list of something else
        return scan.depth > 0 or self._go(self._after_json())

    def _begin(self) -> None:
        """An object begins: a call, or the arguments of one whose name is known."""
        self._start = self._at - 1
        if self._name:
            self._news.begin(self._name, self._start, self._token + 1)
        elif self._leads:
            self._leads = False
        else:
            self._first = self._token

    def _object(self) -> None:
        """An object has ended."""
        text, name = self._string(self._start, self._at), self._name
        self._news.close(self.text, self._at, self._token + 1)
        arguments = arguments_in(text) if name else None
        call = call_in(text) if not name else (name, arguments) if arguments is not None else None
        self._name = ""
        call = call if call and self._offered(call[0]) else None
        if not self._news.end(call, self._first, self._token + 1):
            self._broken()
        self._any = self._any or call is not None

    def _offered(self, name: str) -> bool:
        """Whether a tool may be meant. Behind an opening it is, whatever its name."""
        return self.style not in _UNOPENED or not self._types or name in self._types

    def _after_json(self) -> Callable[[], bool]:
        if self.style is Style.TAGS:
            self._between_from = self._at
            return self._between
        if self.style is Style.FUNCTION:
            return self._arguments
        return self._stop if self.style is Style.BRACKET else self._first_mark

    def _broken(self) -> bool:
        """Note that something in it is no call that can be read. Without an opening, it may be no call at all."""
        if self._news.begun or self._any or self.style not in _UNOPENED:
            self._news.broken(self._opened_at, self._token + 1)
        return False

    def _go(self, step: Callable[[], bool]) -> bool:
        self._step = step
        return True

    def _stop(self, *, broken: bool = False) -> bool:
        if broken:
            self._broken()
        self._over = True
        return True

    def _string(self, start: int, end: int) -> str:
        return self.text[start:end].decode("utf-8", errors="replace")
