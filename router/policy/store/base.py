"""What every store keeps, and what it promises."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from triroute.router.errors import NotFound, RevisionMoved
from triroute.router.policy.trial.candidate import Candidate

ANY = None  # as the expected revision: whatever is active
SHORTEST_PREFIX = 6
KEPT = 1_000  # changes


class Kind(StrEnum):
    """How a change came about."""

    SEED = "seed"
    FILE = "file"
    APPLY = "apply"
    ROLLBACK = "rollback"
    SHADOW = "shadow"
    CANARY = "canary"
    ABORT = "abort"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True)
class Change:
    """One move of the active revision, or of the candidate beside it. Each says all that is in force from then on.

    `previous` was active before `revision`; `number` counts the changes; `at_us` is microseconds since 1970 UTC.
    """

    number: int
    revision: str
    previous: str
    kind: Kind
    author: str
    reason: str
    at_us: int
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A change that is asked for. It fails unless `expected` is active, or is ANY.

    It ends a trial unless it names the `candidate` again. `after`: it fails unless this is the latest change's number.
    A seed is for an empty store, and has its own `number`: after a loss of data, the greatest number's seed stays.
    """

    kind: Kind
    revision: str
    text: str
    author: str
    reason: str
    expected: str | None = ANY
    number: int = 0
    candidate: Candidate | None = None
    candidate_text: str = ""
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one router says of the change `number` to `revision`; `serving` is what its decisions carry."""

    replica: str
    number: int
    revision: str
    accepted: bool
    error: str
    serving: str
    at_us: int


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """`error` is empty while the store answers."""

    where: str
    error: str = ""


class Store(Protocol):
    """Every method but `health` raises StoreUnavailable; none is called on a request's path.

    A revision's text never changes once it is written.
    """

    async def latest(self) -> Change | None:
        """The change that made the active revision active. None in an empty store."""

    async def wait(self, after: int, seconds: float) -> None:
        """Return soon after a change with a greater number, or after so many seconds."""

    async def text(self, revision: str) -> str:
        """A revision's text. Raises NotFound."""

    async def find(self, prefix: str) -> str:
        """The revision that begins so, among the changes that are kept. Raises NotFound."""

    async def move(self, move: Move) -> Change:
        """Put a revision and its candidate in force. Where they are already, nothing changes. Raises RevisionMoved."""

    async def history(self, limit: int) -> list[Change]:
        """Latest first."""

    async def acknowledge(self, said: Acknowledgement) -> None:
        """Keep what a router says, for ten seconds."""

    async def acknowledgements(self) -> list[Acknowledgement]:
        """What routers said in the last ten seconds, by name."""

    async def tell(self, trial: str, router: str, tally: str) -> None:
        """Keep what a router has counted of a trial, for a day. `router` is another name after each start of it."""

    async def told(self, trial: str) -> dict[str, str]:
        """The latest tally of each router."""

    def health(self) -> StoreHealth:
        """Whether it answers, as far as is known."""

    async def close(self) -> None:
        """Let go of its connections."""


def digest(text: str) -> str:
    """SHA-256 of a text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def unknown(revision: str) -> NotFound:
    """The error for a revision that the store does not hold."""
    return NotFound(f"no policy revision {revision[:12]}; `triroute policy history` lists them")


def moved(active: str, expected: str) -> RevisionMoved:
    """The error of a change that came second."""
    return RevisionMoved(
        f"the active revision is {active[:12] or 'none'}, not {expected[:12]}: another change came first; "
        "look at it with `triroute policy history`, then apply again"
    )


def overtaken() -> RevisionMoved:
    """The error of a change that was meant to follow another one than it would."""
    return RevisionMoved("another change came first; look at it with `triroute policy history`, then try again")


def one_of(prefix: str, changes: list[Change]) -> str:
    """The one revision that begins so. Raises NotFound."""
    if len(prefix) < SHORTEST_PREFIX:
        raise NotFound(f"{prefix!r} is no revision; give at least {SHORTEST_PREFIX} of its digits")
    known = {change.revision for change in changes} | {c.candidate.revision for c in changes if c.candidate}
    found = sorted(revision for revision in known if revision.startswith(prefix))
    if len(found) != 1:
        several = (
            f"means several revisions, {', '.join(name[:12] for name in found)}" if found else "is not in the history"
        )
        raise NotFound(f"revision {prefix} {several}; `triroute policy history` lists them")
    return found[0]
