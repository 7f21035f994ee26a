"""Fences are what their pattern says, whose time the reader does not take."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from triroute.router.classifier.fences import Fence, fences

PATTERN = re.compile(r"(?:```|~~~)([\w+#.-]*)[^\n]{0,500}\n(.*?)(?:\n?[ \t]*(?:```|~~~)|\Z)", re.DOTALL)
PIECES = ["```", "~~~", "`", "~", "\n", " ", "\t", "c++", "x", "é", "x" * 499, " " * 500, "\r", "\x0b"]


def test_one_of_each_kind() -> None:
    assert list(fences("a\n```py x\nb\n  ```\n~~~\nc")) == [Fence(2, 17, "py", "b"), Fence(18, 23, "", "c")]


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@example("```" + "x" * 502 + "\n```\na\n\n \t```b")
@example("````" + " " * 500 + "\na")
def test_any_text(text: str) -> None:
    found = [Fence(*match.span(), match[1], match[2]) for match in PATTERN.finditer(text)]
    assert list(fences(text)) == found
