"""How kernels are compiled: without the GIL, without fast math, once a machine.

Numba keeps machine code on disk, but looks at one file's date only. The folder is therefore named after all kernel
sources and versions, so that a change in any of them compiles anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba

_SOURCES = Path(__file__).parent


def _cache_folder() -> Path:
    """Where machine code is kept: under TRIROUTE_CACHE, else the user's cache folder, else a temporary one."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for source in sorted(_SOURCES.glob("*.py")):
        digest.update(source.read_bytes())
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triroute"
    root = Path(os.environ.get("TRIROUTE_CACHE") or default)
    folder = root / "kernels" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"triroute-kernels-{os.getuid()}" / digest.hexdigest()[:16]
    return folder


vars(numba.config)["CACHE_DIR"] = str(_cache_folder())


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call. Floats keep their written order: the bits of a row must not depend on the others.

    Arguments are trusted: callers check shapes, since compiled code checks no bounds.
    """
    compile_: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
    result: Any = compile_(function)
    _name_apart(result._cache._cache_file)
    kernel: Callable[..., Any] = result
    return kernel


def _name_apart(files: Any) -> None:
    """Numba numbers the files of one function, and two processes that compile at once may give one number to two codes.

    What is loaded by such a number may be another code than its index says.
    """
    numbered = files._data_name
    files._data_name = lambda _: numbered(uuid.uuid4().int)
