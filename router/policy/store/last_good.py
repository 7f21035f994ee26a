"""The last good policy on disk, for a start without the store."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from triroute.router.policy.trial.candidate import loads
from triroute.router.policy.whole import write_whole

log = logging.getLogger("triroute.policy")


@dataclass(frozen=True, slots=True)
class Copy:
    """A policy that was served: the number of its change, its text, and the revision of the policy's file then.

    `candidate` is what was on trial beside it, as `Candidate.dumps` writes it; empty for none.
    """

    number: int
    revision: str
    text: str
    file_revision: str
    candidate: str = ""
    candidate_text: str = ""


class LastGood:
    """One file, replaced as a whole. A disk that fails is logged once, and never stops a change."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._failing = False

    def read(self) -> Copy | None:
        """None where there is none, or none that can be read."""
        if self.path is None:
            return None
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            candidate, its_text = (str(found.get(name, "")) for name in ("candidate", "candidate_text"))
            loads(candidate)
            revision, text, file_revision = (str(found[name]) for name in ("revision", "text", "file_revision"))
            return Copy(int(found["number"]), revision, text, file_revision, candidate, its_text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("the copy of the last good policy, %s, can't be read: %s", self.path, error)
            return None

    def write(self, copy: Copy) -> None:
        """Replace it. Blocks on the disk."""
        if self.path is None:
            return
        try:
            write_whole(self.path, json.dumps(asdict(copy)))
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.error("the last good policy can't be kept in %s: %s", self.path, error)
            self._failing = True
