"""Where machine code is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba

_SHOW = "from triroute.kernels.cpu import compiled; import numba; print(numba.config.CACHE_DIR)"


def _folder(**environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", _SHOW], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_under_the_chosen_folder(tmp_path: Path) -> None:
    from triroute.kernels.cpu import compiled  # noqa: F401

    folder = Path(_folder(TRIROUTE_CACHE=str(tmp_path)))
    assert folder.parent == tmp_path / "kernels"
    assert folder.name == Path(numba.config.CACHE_DIR).name


def test_elsewhere_where_that_is_not_writable(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "triroute-kernels-" in _folder(TRIROUTE_CACHE=str(blocked))
