"""Where machine code is kept, also by several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from triroute.kernels.cpu.compiled import compiled

_SHOW = "from triroute.kernels.cpu import compiled; import numba; print(numba.config.CACHE_DIR)"


def _folder(**environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", _SHOW], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_under_the_chosen_folder(tmp_path: Path) -> None:
    folder = Path(_folder(TRIROUTE_CACHE=str(tmp_path)))
    assert folder.parent == tmp_path / "kernels"
    assert folder.name == Path(numba.config.CACHE_DIR).name


def test_elsewhere_where_that_is_not_writable(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "triroute-kernels-" in _folder(TRIROUTE_CACHE=str(blocked))


def _double(number: Any) -> Any:
    return number + number


def _files() -> Any:
    kernel: Any = compiled(_double)
    kernel._cache._impl.locator.ensure_cache_path()
    return kernel._cache._cache_file


def test_two_that_compile_at_once_do_not_take_each_others_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba alone names both files the same here: it was seen to load one signature's code for another's."""
    one, other = _files(), _files()
    one.flush()
    save_index = one._save_index

    def meanwhile(index: dict[str, str]) -> None:
        save_index(index)
        with monkeypatch.context() as patch:
            patch.setattr(other, "_load_index", dict)  # it had looked before
            other.save("other", "the other's code")

    monkeypatch.setattr(one, "_save_index", meanwhile)
    one.save("one", "one's code")

    assert other.load("other") == "the other's code"
    assert one.load("one") in (None, "one's code")
    one.flush()


def test_code_is_kept() -> None:
    assert compiled(_double)(2) == 4
    again: Any = compiled(_double)
    assert again(2) == 4
    assert sum(again.stats.cache_hits.values()) == 1
