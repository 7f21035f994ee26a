"""What lint says of a rollout, at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.router.policy import parse
from triroute.router.policy.lint import lint

TEXT = """version: 1
metadata: {name: mine}
rollout:
  candidate: next.yaml
  percent: 5
rules:
  - {id: only, use: {mode: autoregressive}}
"""
NEXT = TEXT.replace("mine", "next").replace("rollout:\n  candidate: next.yaml\n  percent: 5\n", "")


def findings(text: str, folder: Path | None) -> list[tuple[str, str, int, int]]:
    return [(one.code, one.severity.word, one.line, one.column) for one in lint(text, "mine.yaml", folder=folder)]


def test_good_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "next.yaml").write_text(NEXT)
    assert findings(TEXT, tmp_path) == []


@pytest.mark.parametrize(
    ("candidate", "finding"),
    [
        (None, ("missing-candidate", "error", 4, 14)),
        ("version: 1", ("invalid-candidate", "error", 4, 14)),
        (TEXT, ("same-candidate", "warning", 4, 14)),
        (TEXT.replace("mine", "other"), ("nested-rollout", "warning", 4, 14)),
    ],
)
def test_candidate_that_is_none(candidate: str | None, finding: tuple[str, str, int, int], tmp_path: Path) -> None:
    if candidate is not None:
        (tmp_path / "next.yaml").write_text(candidate)
    assert findings(TEXT, tmp_path) == [finding]
    assert findings(TEXT, None) == []


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("percent: 0", ("rollout-percent", "note", 5, 12)),
        ("percent: 100", ("rollout-percent", "warning", 5, 12)),
        ("percent: 101", ("out-of-range", "error", 5, 12)),
        ("percent: -1", ("out-of-range", "error", 5, 12)),
        ("percent: all", ("wrong-type", "error", 5, 12)),
        ("percentage: 5", ("unknown-key", "error", 5, 3)),
        ("percent: 5\n  key: sesion_id", ("unknown-name", "error", 6, 8)),
        ("percent: 5\n  abort_if: {error_ratio: 0.5}", ("out-of-range", "error", 6, 27)),
        ("percent: 5\n  abort_if: {errors: 2}", ("unknown-key", "error", 6, 14)),
    ],
)
def test_shares_and_words(line: str, finding: tuple[str, str, int, int]) -> None:
    assert finding in findings(TEXT.replace("percent: 5", line), None)


def test_rollout_is_no_part_of_the_meaning() -> None:
    without = TEXT.replace("rollout:\n  candidate: next.yaml\n  percent: 5\n", "")
    assert parse(TEXT, "a").revision == parse(without, "b").revision
