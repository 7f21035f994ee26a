"""Files that are replaced as a whole: the old one or the new one, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.router.policy.whole import write_whole


def test_replaces(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    for text in ("a", "ä\n"):
        write_whole(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert list(file.parent.iterdir()) == [file]


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(taken, "x")
    assert list(tmp_path.iterdir()) == [taken]
