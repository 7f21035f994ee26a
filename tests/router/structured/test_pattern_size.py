"""What a pattern repeats counts as often as it is repeated."""

from __future__ import annotations

import json

import pytest

from triroute.router.schemas import Schema, schema_problem
from triroute.router.structured import formats
from triroute.router.structured.pattern_size import size


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        ("", 0),
        ("abc", 3),
        (r"\p{3}", 3),
        ("a{5}", 5),
        ("a{0,900}b{2,}", 3),
        ("(?:ab{3}){10}c", 61),
        ("[a{9}]{4}", 4),
        (r"\{9}\\{3}", 6),
        ("[]a]{2}[^]a]{2}", 4),
        ("a){2}", 3),
        ("((a{10}){10}){10}", 1_000),
        ("(" * 100_000, 0),
        ("[" * 100_000, 1),
        ("(" * 50_000 + "a" + "){2}" * 50_000, 2**30),
        ("a{" + "9" * 5_000 + "}", 999_999_999),
    ],
    ids=lambda value: str(value)[:20],
)
def test_sizes(pattern: str, pieces: int) -> None:
    assert size(pattern, 10**9) == pieces


@pytest.mark.parametrize("pattern", ["a{1000000}", "(?:" * 60 + "a{1000}" + "){1000}" * 60, "(?:(?:ab){1000}){1000}"])
def test_what_is_too_large_is_not_begun(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can stop the package regex in it."""
    monkeypatch.delattr(formats.regex, "compile")
    with pytest.raises(formats.UnreadPattern):
        formats.read_pattern(pattern)


def test_what_is_long_may_be_read() -> None:
    assert schema_problem(Schema(json.dumps({"pattern": "^(?:[a-z]{1,64}){0,900}$|" + "x" * 60_000}))) is None
