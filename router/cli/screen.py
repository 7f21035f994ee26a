"""What all commands share on the screen: consoles, progress while a model loads, and safe text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from triroute.router.supervisor import Progress

console = Console()
errors = Console(stderr=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@contextmanager
def progress() -> Iterator[Progress]:
    """A spinner on stderr that names the stage."""
    with errors.status("starting") as status:
        yield lambda stage: status.update(stage)


def moment(at_us: int, form: str = "%m-%d %H:%M:%S", zone: datetime.tzinfo | None = None) -> str:
    """Microseconds since 1970 as a time, here or in a zone; a number that is none as it is."""
    try:
        return datetime.datetime.fromtimestamp(at_us / 1e6, zone).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{at_us} µs"


def line(markup: str) -> None:
    """One line of markup: not wrapped, so that it can be searched and copied."""
    console.print(markup, soft_wrap=True, highlight=False)


def safe(text: str) -> str:
    """Model text for a terminal: control and direction characters shown, not obeyed."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def quoted(text: str) -> str:
    """Model text inside markup: safe, with line breaks and spaces visible."""
    return escape(safe(text).replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·"))
