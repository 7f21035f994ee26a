"""How much of the machine others took while a run went on: a ratio taken in a crowd says little."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_IDLE = (3, 4)  # fields of /proc/stat's first line: idle, and waiting for a disk


class Neighbours:
    """Watches from its making on."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy_s(), _own_s()

    def share(self) -> float:
        """The part of all cores that other processes used. Our workers count once they have ended."""
        others = (_busy_s() - self._busy) - (_own_s() - self._own)
        cores = os.cpu_count() or 1
        return max(0.0, others / (cores * (time.monotonic() - self._began)))


def _busy_s() -> float:
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return 0.0
    fields = [int(field) for field in line.split()[1:9]]
    return sum(ticks for index, ticks in enumerate(fields) if index not in _IDLE) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
