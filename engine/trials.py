"""Whether a grammar can be compiled: tried in another process, for as long as a grammar may take."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from triroute.engine import trial
from triroute.engine.budget import Reach, present
from triroute.engine.errors import EngineError

_QUICK_SECONDS, _QUICK_AT_ONCE = 0.1, 2  # nearly all grammars take a few milliseconds
_SECONDS, _AT_ONCE = 1.0, 1  # the rest wait for each other, and nobody else for them
_PATIENCE_SECONDS = 60.0  # for an answer, on a machine that is busy
_TOO_MUCH = (
    f"it takes more than {_SECONDS:g} s or 128 MiB; use fewer or simpler patterns, bounds, alternatives and allOf parts"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a grammar, if anything, and what its compiler warns of."""

    problem: str = ""
    warnings: tuple[str, ...] = ()


class Trials:
    """Tries grammars against the vocabulary of `described`, the arguments of an LLTokenizer. Any thread may ask.

    `process` is the one that begins the trials."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._described = described
        self._lock = threading.Lock()
        self._closed = False
        self._lanes = (
            (Reach.QUICK, _QUICK_SECONDS, ThreadPoolExecutor(_QUICK_AT_ONCE, "triroute-quick-trial")),
            (Reach.ANY, _SECONDS, ThreadPoolExecutor(_AT_ONCE, "triroute-trial")),
        )
        self._start()

    def verdict(self, grammar: str) -> Verdict:
        """Try a grammar within the present budget: requests take turns, and who has left loses its own.

        Raises EngineError where no process can be had for it, and what `Budget.begin` raises.
        """
        budget = present()
        for reach, seconds, lane in self._lanes:
            if not budget.begin(grammar, reach):
                continue
            question = json.dumps({"grammar": grammar, "seconds": seconds}).encode()
            said = budget.wait(lane.submit(self._ask, question))
            if said:
                answer = json.loads(said)
                budget.spend(answer["seconds"])
                return Verdict(answer.get("problem", ""), tuple(answer.get("warnings", ())))
            budget.spend(seconds)
            budget.too_much(grammar, reach)
        return Verdict(_TOO_MUCH)

    def close(self) -> None:
        """End the process that tries. Who waits for it gets an EngineError soon."""
        with self._lock:
            self._closed = True
            self._end()

    def _ask(self, question: bytes) -> bytes:
        """What a trial says in the end; nothing where it was too much."""
        for _ in range(2):
            with self._lock:
                control = self._control
            try:
                with _send(control, question) as job:
                    said = trial.receive(job)
            except OSError:
                said = b""
            if said:
                return said.removeprefix(trial.BEGUN)
            with self._lock:
                if self._closed:
                    raise EngineError("the engine is shutting down")
                if control is self._control:
                    self._end()
                    self._start()
        raise EngineError("the process that tries grammars does not start or does not answer; see the engine's log")

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen([sys.executable, trial.__file__], stdin=theirs.fileno())
        self._end = weakref.finalize(self, _end, self._control, self.process)
        _send(self._control, json.dumps(self._described).encode()).close()


def _send(control: socket.socket, message: bytes) -> socket.socket:
    """Give a message over; where its answer comes."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_PATIENCE_SECONDS)
    try:
        with theirs:
            socket.send_fds(control, [b"\n"], [theirs.fileno()])
        ours.sendall(message)
        ours.shutdown(socket.SHUT_WR)
    except OSError:
        ours.close()
        raise
    return ours


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.kill()  # trials that it began end by themselves
    process.wait()
