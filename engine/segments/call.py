"""Tool calls in the text, in the formats of the common chat templates.

| style | opens with | holds | ends |
|---|---|---|---|
| TAGS (Hermes, Qwen, SmolLM) | `<tool_call>` | an object, a list of them, or `<function=...>` | `</tool_call>` |
| FUNCTION (Llama, Qwen Coder) | `<function=NAME>` | an object, or `<parameter=KEY>` tags | `</function>` |
| PYTHON (Llama) | `<|python_tag|>` | objects, or code | with the objects, or the output |
| BRACKET (Mistral) | `[TOOL_CALLS]` | a list of objects, or `NAME[ARGS]` and an object | with it |
| BARE (Llama) | nothing, at the beginning | an object that has a name, or a list of them | with it |
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from triroute.engine.segments.json_scan import JsonScan
from triroute.engine.segments.marks import Marks
from triroute.engine.segments.part import CODE_NAMES
from triroute.engine.segments.written import arguments_in, call_in, code_call, parameters_json
from triroute.engine.types import SegmentKind, WrittenCall

_LONGEST_NAME = 256
_CALL, _CODE = (SegmentKind.TOOL_CALL,), (SegmentKind.CODE, SegmentKind.TOOL_CALL)


class Style(Enum):
    """How calls are written."""

    TAGS = auto()
    FUNCTION = auto()
    PYTHON = auto()
    BRACKET = auto()
    BARE = auto()


_BETWEEN_TAGS = Marks(b"</tool_call>", b"<function=", b"{", b"[")
_IN_FUNCTION = Marks(b"</function>", b"<parameter=", b"{", b"</tool_call>")
_NAME_END, _PARAMETER_END, _OBJECT = Marks(b">"), Marks(b"</parameter>"), Marks(b"{")


class Call:
    """One or more calls behind one opening. `first`: the token that the first began with, where that was earlier."""

    opened = None

    def __init__(self, style: Style, first: int | None = None) -> None:
        self.calls: list[WrittenCall] = []
        self._style = style
        self._text = bytearray()
        self._at = 0  # looked at so far
        self._token, self._first, self._earlier = 0, 0, first
        self._scan = JsonScan()
        self._start = self._base = 0  # of the object that is being read; the depth around it
        self._name = self._parameter = ""
        self._parameters: dict[str, str] = {}
        self._over = self._read = False  # `_read`: some JSON
        begins = {Style.TAGS: self._between, Style.FUNCTION: self._function}
        self._step: Callable[[], bool] = begins.get(style, self._first_mark)

    @property
    def kinds(self) -> tuple[SegmentKind, ...]:
        if self._step == self._json:
            return _CODE if self._scan.in_code else _CALL
        if self._step == self._value:
            return _CODE if self._parameter.encode() in CODE_NAMES else _CALL
        return _CODE if self._step == self._code else _CALL

    def feed(self, data: bytes, token: int) -> bytes | None:
        self._text += data
        self._token = token
        while not self._over and self._step():
            pass
        return bytes(self._text[self._at :]) if self._over else None

    def end(self, token: int) -> None:
        if self._step == self._code and self._text.strip():
            self._token = token - 1
            self._emit(code_call(self._string(0, len(self._text))))

    def _first_mark(self) -> bool:
        """What follows an opening that ends with nothing but its object; and what follows that."""
        rest = bytes(self._text[self._at :]).lstrip(b" \t\r\n;")
        if not rest:
            return False
        at = len(self._text) - len(rest)
        if rest[:1] in (b"{", b"["):
            self._at = at
            return self._open_json()
        if self._style is Style.PYTHON and not self._read:
            self._first = self._token
            return self._go(self._code)
        if self._style is Style.BRACKET:
            self._first = self._token
            return self._go(self._bracket_name)
        return self._stop()

    def _bracket_name(self) -> bool:
        """NAME, maybe [CALL_ID] and an id, maybe [ARGS], up to the arguments."""
        found, start = _OBJECT.find(self._text, 0)
        if not found:
            return len(self._text) > _LONGEST_NAME and self._stop()
        self._name, self._at = self._string(0, start).partition("[")[0].strip(), start
        return self._open_json()

    def _between(self) -> bool:
        mark, start = _BETWEEN_TAGS.find(self._text, self._at)
        self._at = start + len(mark)
        if mark in (b"{", b"["):
            self._at = start
            return self._open_json()
        if mark == b"<function=":
            self._first = self._token
            return self._go(self._function)
        return bool(mark) and self._stop()

    def _function(self) -> bool:
        """NAME>"""
        mark, end = _NAME_END.find(self._text, self._at)
        if not mark:
            return len(self._text) - self._at > _LONGEST_NAME and self._stop()
        self._name, self._at, self._parameters, self._first = self._string(self._at, end), end + 1, {}, self._token
        return self._go(self._arguments)

    def _arguments(self) -> bool:
        """An object, or parameters in tags."""
        mark, start = _IN_FUNCTION.find(self._text, self._at)
        self._at = start + len(mark)
        if mark == b"{" and self._name:
            self._at = start
            return self._open_json()
        if mark == b"<parameter=":
            return self._go(self._parameter_name)
        if mark == b"</function>":
            if self._name:
                self._emit((self._name, parameters_json(self._parameters)))
            self._name = ""
            return self._go(self._between) if self._style is Style.TAGS else self._stop()
        return self._stop() if mark == b"</tool_call>" else bool(mark)

    def _parameter_name(self) -> bool:
        """KEY>"""
        mark, end = _NAME_END.find(self._text, self._at)
        if not mark:
            return len(self._text) - self._at > _LONGEST_NAME and self._stop()
        self._parameter, self._start, self._at = self._string(self._at, end), end + 1, end + 1
        return self._go(self._value)

    def _value(self) -> bool:
        """A parameter's value, without the line ends around it."""
        mark, end = _PARAMETER_END.find(self._text, self._at)
        self._at = end + len(mark)
        if not mark:
            return False
        value = self._string(self._start, end).removeprefix("\n").removesuffix("\n")
        self._parameters[self._parameter] = value
        return self._go(self._arguments)

    def _code(self) -> bool:
        self._at = len(self._text)
        return False

    def _open_json(self) -> bool:
        self._scan, self._base, self._read = JsonScan(), 0, True
        return self._go(self._json)

    def _json(self) -> bool:
        """An object, or a list of them."""
        scan = self._scan
        self._at, mark = scan.feed(self._text, self._at)
        match mark:
            case 0:
                return False
            case 0x3C:  # `<`: no JSON any more
                return self._go(self._after_json())
            case 0x5B if scan.depth == 1 and not self._name:
                self._base = 1
            case 0x7B if scan.depth == self._base + 1:
                self._start = self._at - 1
                if not self._name:
                    self._first, self._earlier = self._token if self._earlier is None else self._earlier, None
            case 0x7D if scan.depth == self._base:
                self._object()
        return scan.depth > 0 or self._go(self._after_json())

    def _object(self) -> None:
        """An object has ended: a call, or the arguments of one."""
        text = self._string(self._start, self._at)
        if not self._name:
            self._emit(call_in(text))
            return
        arguments = arguments_in(text)
        self._emit((self._name, arguments) if arguments is not None else None)
        self._name = ""

    def _after_json(self) -> Callable[[], bool]:
        if self._style is Style.TAGS:
            return self._between
        if self._style is Style.FUNCTION:
            return self._arguments
        return self._stop if self._style is Style.BRACKET else self._first_mark

    def _emit(self, call: tuple[str, str] | None) -> None:
        """Note a call; escapes may have made it no Unicode text."""
        if call is not None:
            name, arguments = (part.encode("utf-8", errors="replace").decode() for part in call)
            self.calls.append(WrittenCall(name, arguments, self._first, self._token + 1))

    def _go(self, step: Callable[[], bool]) -> bool:
        self._step = step
        return True

    def _stop(self) -> bool:
        self._over = True
        return True

    def _string(self, start: int, end: int) -> str:
        return self._text[start:end].decode("utf-8", errors="replace")
