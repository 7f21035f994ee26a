"""What all parts of a text have in common."""

from __future__ import annotations

from typing import Protocol

from triroute.engine.types import CallEvent, SegmentKind

# Arguments of tools that hold code.
CODE_NAMES = frozenset(
    b"bash cmd code command diff file_text javascript new_str old_str patch program python python_code script shell "
    b"snippet source source_code sql".split()
)


class Part(Protocol):
    """A part that bytes are fed to. Where it ends depends on the bytes alone, not on how they were divided."""

    calls: list[CallEvent]

    @property
    def opened(self) -> Part | None:
        """What begins where it ended; the text around it where that is None."""

    @property
    def kinds(self) -> tuple[SegmentKind, ...]:
        """What it is where it stands, innermost first."""

    def feed(self, data: bytes, token: int) -> bytes | None:
        """Take bytes of the output's token with that number. The rest that is not of this part, once it ends.

        What becomes known of tool calls is added to `calls`; the segmenter numbers them.
        """

    def copy(self) -> Part:
        """Another one, at the same place."""

    def end(self, token: int) -> None:
        """The output ends before that token."""
