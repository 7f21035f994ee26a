"""Canaries that were stopped, on disk: a policy's file that still names one does not start it again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from triroute.router.policy.whole import write_whole

log = logging.getLogger("triroute.policy")

_MOST = 1_000


class StoppedCanaries:
    """Pairs of (active revision, candidate's revision), in one file that is replaced as a whole. None: in memory.

    A disk that fails is logged, and stops nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._pairs = self._read()

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def note(self, active: str, candidate: str, stopped: bool) -> None:
        """Remember a stop, or that an operator has started it again. Blocks on the disk."""
        pair = (active, candidate)
        if stopped == (pair in self._pairs):
            return
        others = [known for known in self._pairs if known != pair]
        self._pairs = [*others, pair][-_MOST:] if stopped else others
        self._write()

    def _read(self) -> list[tuple[str, str]]:
        if self.path is None:
            return []
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return [(str(active), str(candidate)) for active, candidate in found]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            log.error("the list of stopped canaries, %s, can't be read: %s", self.path, error)
            return []

    def _write(self) -> None:
        if self.path is None:
            return
        try:
            write_whole(self.path, json.dumps(self._pairs))
        except OSError as error:
            log.error("the list of stopped canaries can't be kept in %s: %s", self.path, error)
