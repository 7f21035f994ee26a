"""What an engine's bits may depend on beside its weights: the processor, its kernels, the libraries that make them."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

from triroute import kernels as kernels_package
from triroute.kernels.cpu.lanes import has_dot4

LIBRARIES = ("numba", "llvmlite", "numpy", "llguidance", "tokenizers", "transformers")


def device() -> str:
    """The processor's name and its instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or "cpu"
    return f"{name}, {platform.machine()}"


def kernels() -> str:
    """Which kernels run."""
    return "cpu, int8 in AVX-512 VNNI" if has_dot4() else "cpu, int8 in general registers"


def versions() -> dict[str, str]:
    """Of the libraries that compile kernels, tokenize, and hold to grammars; and a digest of our own sources."""
    own = {"python": platform.python_version(), "sources": _sources()}
    return {name: version(name) for name in LIBRARIES} | own


def _sources() -> str:
    """Of the engine and its kernels: a tree that was edited is another build."""
    folders = [Path(__file__).parent, Path(kernels_package.__file__ or "").parent]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
