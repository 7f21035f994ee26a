"""What one request may take of the trials of its grammars, until its client leaves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

from triroute.engine.errors import EngineError

_P = ParamSpec("_P")
_T = TypeVar("_T")
MOST_SECONDS = 3.0  # of processor time, of all trials of a request


class Reach(IntEnum):
    """How far to go for a grammar: what is kept, a quick trial, or any. Who goes further waits behind slower ones."""

    KEPT = 0
    QUICK = 1
    ANY = 2


class Untried(Exception):
    """A grammar is not kept, and its trial is out of reach."""


class OutOfTime(EngineError):
    """The trials of a request took all that they may."""

    def __init__(self) -> None:
        super().__init__(
            f"the request's grammars take more than {MOST_SECONDS:g} s in all; ask for fewer or simpler ones"
        )


class Gone(EngineError):
    """The client has left, and nobody waits for a verdict."""


class Budget:
    """Of one request. One thread at a time asks within it; any may end it."""

    def __init__(self, seconds: float = MOST_SECONDS) -> None:
        self._seconds = seconds
        self._reach = Reach.ANY
        self._gone = Future[None]()
        self._too_much = set[tuple[str, Reach]]()

    def within(self, reach: Reach, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Work whose trials come out of this budget. Raises Untried where one is out of reach."""
        self._reach = reach
        before = _PRESENT.set(self)
        try:
            return work(*args, **kwargs)
        finally:
            _PRESENT.reset(before)

    def end(self) -> None:
        """The client has left: a trial that waits is skipped, and no other begins."""
        self._gone.set_result(None)

    def begin(self, grammar: str, reach: Reach) -> bool:
        """Whether a trial is still to be made. Raises Untried, OutOfTime and Gone where it can't be."""
        if (grammar, reach) in self._too_much:
            return False
        if self._gone.done():
            raise Gone("the client has left")
        if reach > self._reach:
            raise Untried
        if self._seconds <= 0:
            raise OutOfTime
        return True

    def wait(self, trial: Future[_T]) -> _T:
        """What came of a trial. Raises Gone."""
        either: tuple[Future[Any], ...] = (trial, self._gone)
        wait(either, return_when=FIRST_COMPLETED)
        if self._gone.done():
            trial.cancel()
            raise Gone("the client has left")
        return trial.result()

    def spend(self, seconds: float) -> None:
        """Take what a trial took."""
        self._seconds -= seconds

    def too_much(self, grammar: str, reach: Reach) -> None:
        """Remember that such a trial is not enough for a grammar."""
        self._too_much.add((grammar, reach))


def present() -> Budget:
    """The budget within which this thread works; a fresh one where there is none."""
    return _PRESENT.get() or Budget()


_PRESENT: ContextVar[Budget | None] = ContextVar("budget", default=None)  # beside what grammars are kept by
