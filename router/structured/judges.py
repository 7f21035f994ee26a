"""Schemas, and outputs by them, are looked at by processes beside the service, so that none can hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from types import TracebackType
from typing import Any

from triroute.router.errors import Overloaded
from triroute.router.schemas import Schema
from triroute.router.structured.check import Judge
from triroute.router.structured.judge import LENGTH_BYTES, frame
from triroute.router.structured.schema import Unjudged, Wrong

log = logging.getLogger("triroute.judges")

QUICK_SECONDS, MOST_SECONDS = 0.1, 3.0  # of computing: for what is asked every day, and for anything
_WAIT_SECONDS = 10.0  # for what others ask
_ANSWER_SECONDS = 20.0  # until a process that does not even say that time is up is ended
_REMEMBERED = 4_096
_COMMAND = (sys.executable, "-m", "triroute.router.structured.judge")

_Question = tuple[str, str, Any]


class Judges:
    """Two processes. What one can't answer at once goes to the other, and no usual question waits behind it."""

    def __init__(self, quick_seconds: float = QUICK_SECONDS, most_seconds: float = MOST_SECONDS) -> None:
        self._quick, self._patient = _Process(quick_seconds), _Process(most_seconds)
        self._late = f"takes longer than {most_seconds:g} s"
        self._known = OrderedDict[bytes, str | None]()

    async def __aenter__(self) -> Judges:
        await self._quick.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await asyncio.gather(self._quick.close(), self._patient.close())

    async def look(self, schemas: Iterable[Schema]) -> dict[Schema, str | None]:
        """What is wrong with schemas; what was looked at lately is remembered. Raises Overloaded."""
        keys = {schema: sha256(f"{schema.of_arguments} {schema.text}".encode()).digest() for schema in schemas}
        found = {schema: self._known[key] for schema, key in keys.items() if key in self._known}
        asked = [schema for schema in keys if schema not in found]
        try:
            answers = await self._answers([("schema", *schema) for schema in asked])
        except _Ended as ended:
            return dict.fromkeys(keys, str(ended)) | found
        for schema, answer in zip(asked, answers, strict=False):
            found[schema] = self._known[keys[schema]] = answer["problem"]
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return dict.fromkeys(keys, f"{self._late} to look at; ask for less") | found

    async def judge(self, pairs: Sequence[tuple[str, str]]) -> Judge:
        """Have each JSON text judged by the schema beside it. Says of them, and of no others, what came of it."""
        answers, missing = list[Any](), f"judging by the schema {self._late}"
        try:
            answers = await self._answers([("output", *pair) for pair in pairs])
        except Overloaded:
            pass
        except _Ended as ended:
            missing = str(ended)
        told = dict(zip(pairs, answers, strict=False))

        def judge(text: str, schema: str) -> Wrong | None:
            answer = told.get((text, schema))
            if answer is None:
                raise Unjudged(missing)
            if "unjudged" in answer:
                raise Unjudged(answer["unjudged"])
            return answer["wrong"] and _wrong(*answer["wrong"])

        return judge

    async def _answers(self, asked: Sequence[_Question]) -> list[Any]:
        """In order, as far as they come in time. Raises Overloaded, and _Ended."""
        answers = list[Any]()
        with contextlib.suppress(_Ended):
            answers = await self._quick.ask(asked) if asked else []
        if len(answers) < len(asked):
            answers += await self._patient.ask(asked[len(answers) :])
        return answers


class _Ended(Exception):
    """A judge's process ended while it looked at something."""

    def __init__(self) -> None:
        super().__init__("could not be judged: the process that looked at it ended")


class _Process:
    """A judge's process. It is started again when it is gone, and asked by one at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, asked: Sequence[_Question]) -> list[Any]:
        """The answers that come in time. Raises Overloaded, and _Ended."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise Overloaded("other requests' schemas take too long to look at; try again", retry_ms=1_000) from None
        answering = asyncio.create_task(self._answer(asked))
        answering.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(answering)  # who leaves does not take the answer's bytes along

    async def start(self) -> asyncio.subprocess.Process:
        """Start it, where it is not running; it listens once it has loaded."""
        if self._process is None or self._process.returncode is not None:
            pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=pipe, stdout=pipe, stderr=nothing, start_new_session=True
            )
        return self._process

    async def close(self) -> None:
        """End it, whatever it does."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _answer(self, asked: Sequence[_Question]) -> list[Any]:
        try:
            process = await self.start()
            async with asyncio.timeout(_ANSWER_SECONDS):
                if process.stdin is None or process.stdout is None:
                    raise RuntimeError("the judge has no pipes")
                process.stdin.write(frame({"seconds": self._seconds, "asked": asked}))
                await process.stdin.drain()
                size = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES))
                answers: list[Any] = json.loads(await process.stdout.readexactly(size))
                return answers
        except (OSError, EOFError, TimeoutError) as error:
            log.warning(
                "the process that looks at schemas did not answer: %s; it is started again", error or "too slow"
            )
            await self.close()
            if isinstance(error, TimeoutError):
                return []
            raise _Ended from error


def _wrong(keys: list[str | int], problem: str, broken: bool) -> Wrong:
    return Wrong(tuple(keys), problem, broken)
