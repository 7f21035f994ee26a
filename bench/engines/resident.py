"""What a process holds in memory, in MiB, as Linux counts it."""

from __future__ import annotations

import importlib
import mmap
import re
from pathlib import Path
from typing import Any

_MIB = 2**20
_PRESENT = 1 << 63  # of a pagemap entry


def resident() -> dict[str, float]:
    """Resident memory `now`, and its `peak` since the process began."""
    status = Path("/proc/self/status").read_text()
    sizes = {name: int(kib) / 1024 for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE)}
    return {"now": sizes["VmRSS"], "peak": sizes["VmHWM"]}


def import_costs(groups: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """What importing each group adds. Modules that are in already cost nothing."""
    costs = {}
    for label, names in groups.items():
        before = resident()["now"]
        for name in names:
            importlib.import_module(name)
        costs[label] = resident()["now"] - before
    return costs


def present(array: Any) -> float:
    """How much of a NumPy array is in memory: pages that nobody touched are not."""
    import numpy as np

    first = array.ctypes.data // mmap.PAGESIZE
    last = -(-(array.ctypes.data + array.nbytes) // mmap.PAGESIZE)
    with Path("/proc/self/pagemap").open("rb") as pagemap:
        pagemap.seek(first * 8)
        entries = np.frombuffer(pagemap.read((last - first) * 8), dtype=np.uint64)
    return float(np.count_nonzero(entries & np.uint64(_PRESENT))) * mmap.PAGESIZE / _MIB
