"""Which policy is on trial, for which share of the steps, and when it is stopped."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from triroute.router.errors import Violation
from triroute.router.types import Request

LEAST_RATIO, MOST_RATIO = 1.0, 100.0
MOST_PERCENT = 100.0


class Key(StrEnum):
    """What keeps its side of a canary."""

    SESSION_ID = "session_id"
    TENANT = "tenant"
    REQUEST_ID = "request_id"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The policy `revision` decides `percent` of the keys; at 0 it only says what it would decide (shadow).

    It is stopped when its odds of failure are more than `error_ratio` times those of the active policy, or its steps
    take more than `latency_ratio` times as long. `stopped`: it was, and decides nothing. `trial` names the trial: what
    is measured goes on when only the percentage changes.
    """

    revision: str
    percent: float = 0.0
    key: Key = Key.SESSION_ID
    error_ratio: float = 1.5
    latency_ratio: float = 1.2
    stopped: bool = False
    trial: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def decides(self) -> bool:
        """Whether it is a canary that runs."""
        return self.percent > 0 and not self.stopped

    def goes_on(self, other: Candidate) -> bool:
        """Whether what was measured of the other one counts for this one: at most the percentage differs."""
        return dataclasses.replace(other, percent=self.percent, trial=self.trial) == self

    def key_of(self, request: Request, request_id: str) -> str:
        """What the step's side goes by. A step without the key is its own; empty for one without any id."""
        named = {Key.SESSION_ID: request.session_id, Key.TENANT: request.tenant}
        return named.get(self.key) or request_id

    def dumps(self) -> str:
        """One line, the same for equal candidates."""
        return json.dumps(asdict(self), sort_keys=True)


def loads(text: str) -> Candidate | None:
    """What `dumps` wrote; None for an empty text. Raises ValueError for anything else."""
    if not text:
        return None
    found = json.loads(text)
    try:
        return Candidate(**{**found, "key": Key(found["key"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"no candidate: {error!r}") from error


def violations(percent: float, error_ratio: float, latency_ratio: float) -> Iterator[Violation]:
    """What is wrong with a trial's numbers."""
    if not 0 <= percent <= MOST_PERCENT:
        yield Violation("percent", f"{percent:g} is outside 0 to {MOST_PERCENT:g}")
    for name, ratio in (("error_ratio", error_ratio), ("latency_ratio", latency_ratio)):
        if not LEAST_RATIO <= ratio <= MOST_RATIO:
            yield Violation(name, f"{ratio:g} is outside {LEAST_RATIO:g} to {MOST_RATIO:g}")
