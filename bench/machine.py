"""Where the figures were taken."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("triroute", "xllamacpp", "transformers", "torch", "numba")


@dataclass(frozen=True, slots=True)
class Machine:
    """The CPU, the threads that each engine gets, and the versions of what ran."""

    cpu: str
    cores: int
    threads: int
    memory_gib: float
    system: str
    versions: dict[str, str]

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores, {self.threads} threads for each engine"


def this_machine(threads: int) -> Machine:
    """Read from /proc, where there is one."""
    return Machine(
        cpu=_field("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        threads=threads,
        memory_gib=round(int(_field("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions={name: found for name in _PACKAGES if (found := _version(name))},
    )


def _field(file: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(file).read_text())
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
