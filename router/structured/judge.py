"""`python -m triroute.router.structured.judge`: a process that looks at schemas, and at JSON by them, for `Judges`.

A message is its length in 4 bytes, then JSON: seconds of computing and a list of questions in, a list of answers out.
The answers end early where time is up. The process ends when its input does.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from triroute.router.schemas import Schema, schema_problem
from triroute.router.structured.schema import Unjudged, wrong_in

LENGTH_BYTES = 4
_MEMORY = 2 * 2**30  # a schema may have any number of errors to remember
_AGAIN_SECONDS = 0.01


class _TimeIsUp(BaseException):
    """No `except Exception` on the way holds it up."""


def frame(message: Any) -> bytes:
    """A message as it is sent."""
    body = json.dumps(message).encode()
    return len(body).to_bytes(LENGTH_BYTES) + body


def main() -> None:
    """Answer until there is no more input."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGPROF, _stop)
    for message in _messages(sys.stdin.buffer):
        sys.stdout.buffer.write(frame(_answers(message["seconds"], message["asked"])))
        sys.stdout.buffer.flush()


def _messages(source: BinaryIO) -> Iterator[Any]:
    while head := source.read(LENGTH_BYTES):
        yield json.loads(source.read(int.from_bytes(head)))


def _answers(seconds: float, asked: Sequence[Sequence[Any]]) -> list[Any]:
    """Counts the time that this process computes, not what others on the machine take from it."""
    answers = list[Any]()
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN_SECONDS)
        try:
            for question in asked:
                answers.append(_answer(*question))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _TimeIsUp:
        pass
    return answers


def _answer(question: str, text: str, more: Any) -> dict[str, Any]:
    try:
        if question == "schema":
            return {"problem": schema_problem(Schema(text, more))}
        wrong = wrong_in(text, more)
    except Unjudged as unjudged:
        return {"unjudged": str(unjudged)}
    except Exception as other:  # of one question; the others have their answers
        why = f"could not be judged: {type(other).__name__}"
        return {"problem": why, "unjudged": why}
    return {"wrong": wrong and [wrong.keys, wrong.problem, wrong.broken]}


def _stop(number: int, frame: object) -> None:
    raise _TimeIsUp


if __name__ == "__main__":
    main()
