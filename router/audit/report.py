"""What is wrong with a log, and what was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST = 20  # problems that are told


@dataclass(frozen=True, slots=True)
class Problem:
    """Where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """What was found. `pruned` entries have hashes alone; `unsigned` ones came after the last checkpoint.

    `key` is the public key that was trusted; it is `vouched` for by something that was not beside the log.
    """

    origin: str = ""
    key: str = ""
    vouched: bool = False
    entries: int = 0
    records: int = 0
    events: int = 0
    pruned: int = 0
    unsigned: int = 0
    root: str = ""
    checkpoints: list[str] = field(default_factory=list)  # that were compared
    problems: list[Problem] = field(default_factory=list)
    more: int = 0  # problems that are not told

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, where: str, what: str) -> None:
        """Note a problem; only so many are told."""
        if len(self.problems) < _MOST:
            self.problems.append(Problem(where, what))
        else:
            self.more += 1
