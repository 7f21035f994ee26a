"""Keeps one engine process alive: starts it, knows when it is ready, restarts it when it dies."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from triroute.proto import engine_pb2
from triroute.router.engine_client import EngineClient, EngineLost
from triroute.router.errors import EngineUnavailable, StartFailed
from triroute.router.settings import Settings
from triroute.router.telemetry.logs import heard

log = logging.getLogger("triroute.supervisor")

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_QUICK_SECONDS, _MOST_QUICK_DEATHS = 10.0, 5
_PAUSE_SECONDS = 30.0  # between attempts, once it has been given up
_ANSWER_SECONDS = 10.0  # for an engine under which a call broke
_KILL_SECONDS = 5.0
_LAST_WORDS_SECONDS = 1.0
_CHUNK = 65_536

Progress = Callable[[str], None]


class Supervisor:
    """Owns the engine's process, its socket and the client to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="triroute-")
        self.socket = Path(self._folder.name) / "engine.sock"
        self.client = EngineClient(self.socket)
        self.description = engine_pb2.Description()
        self.restarts = 0
        self.on_serving: Callable[[], Awaitable[None]] = _nothing  # before the first step of each engine
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: deque[str] = deque(maxlen=20)
        self._settled = asyncio.Event()  # it serves, or has been given up
        self._given_up = False
        self._doubted = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """The engine's process id, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, progress: Progress) -> None:
        """Start the engine and wait until it serves. Raises StartFailed with the engine's own reason."""
        progress("starting the engine")
        process = await self._spawn()
        progress("loading the model (the first start compiles its kernels)")
        await self._until_serving(process)
        self._tasks = [asyncio.create_task(self._keep(process)), asyncio.create_task(self.client.watch_load())]

    async def ready(self) -> None:
        """Wait until the engine serves. Raises EngineUnavailable when it could not be brought back."""
        try:
            await asyncio.wait_for(self._settled.wait(), self.settings.start_seconds)
        except TimeoutError:
            raise EngineUnavailable("the engine did not come back in time; try again", retry_ms=5_000) from None
        if self._given_up:
            reason = "; ".join(self._last_words) or "it left no message"
            retry_ms = int(_PAUSE_SECONDS * 1000)
            raise EngineUnavailable(f"the engine keeps dying ({reason}); the service's log has more", retry_ms=retry_ms)

    def doubt(self) -> None:
        """A call broke: `ready` waits until the engine, or its successor, has answered again."""
        if not self._given_up:
            self._settled.clear()
            self._doubted.set()

    async def vocabulary(self) -> bytes:
        """The text of all tokens, as the engine says it."""
        return await self.client.vocabulary()

    async def close(self) -> None:
        """Stop the engine and forget its socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        if self._process is not None:
            await _end(self._process)
        await self._hear_out()
        self._folder.cleanup()

    async def _spawn(self) -> asyncio.subprocess.Process:
        settings = self.settings
        command = [*settings.engine, "--socket", str(self.socket), "--parent-pipe", "--log-format", "json"]
        command += ["--cache-mb", str(settings.cache_mb)]
        command += ["--checkpoint", str(settings.checkpoint)] if settings.checkpoint else []
        command += ["--adapter", str(settings.adapter)] if settings.adapter else []
        command += ["--threads", str(settings.threads)] if settings.threads else []
        self.socket.unlink(missing_ok=True)
        self._last_words.clear()
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            raise StartFailed(f"the engine's command {command[0]!r} can't be run: {error}") from error
        self._process = process
        self._listening = asyncio.create_task(self._listen(process))
        return process

    async def _until_serving(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the first answer. Raises StartFailed when the process ends before, or takes too long."""
        seconds = self.settings.start_seconds
        description = await self._answer(process, seconds)
        if description is not None:
            self.description = description
            await self.on_serving()
            self._given_up = False
            self._settled.set()
        elif process.returncode is None:
            raise StartFailed(f"the engine did not answer in {seconds:g} s; look at its load, or at its log")
        else:
            await self._hear_out()
            reason = "\n".join(self._last_words) or f"it exited with {process.returncode}"
            raise StartFailed(f"the engine could not start: {reason}")

    async def _answer(self, process: asyncio.subprocess.Process, seconds: float) -> engine_pb2.Description | None:
        """What the engine says of itself; None when it ends first, or says nothing in time."""
        ended = asyncio.create_task(process.wait())
        answered = asyncio.create_task(self.client.describe(seconds))
        try:
            await asyncio.wait([ended, answered], return_when=asyncio.FIRST_COMPLETED)
            return None if ended.done() else await answered
        except EngineLost:
            return None
        finally:
            ended.cancel()
            answered.cancel()
            await asyncio.gather(ended, answered, return_exceptions=True)

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        """Restart the engine whenever it ends, with growing pauses; give it up when it dies too often too soon."""
        delay, quick_deaths = _FIRST_DELAY, 0
        while True:
            born = time.monotonic()
            code = await self._until_ended(process)
            if not self._given_up:
                self._settled.clear()
            quick_deaths = quick_deaths + 1 if time.monotonic() - born < _QUICK_SECONDS else 1
            delay = _FIRST_DELAY if quick_deaths == 1 else min(2 * delay, _LONGEST_DELAY)
            log.warning("the engine ended with %s (%s)", code, "; ".join(self._last_words) or "no message")
            if quick_deaths > _MOST_QUICK_DEATHS:
                log.error(
                    "it died %s times in a row; steps are refused, next try in %g s", quick_deaths, _PAUSE_SECONDS
                )
                self._given_up, delay = True, _PAUSE_SECONDS
                self._settled.set()
            await asyncio.sleep(delay)
            self.restarts += 1
            try:
                process = await self._spawn()
                await self._until_serving(process)
            except StartFailed as error:
                log.warning("%s", error)
                await _end(process)

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the process to end; one under which a call broke, and that answers no more, is ended."""
        ended = asyncio.create_task(process.wait())
        doubted = asyncio.create_task(self._doubted.wait())
        try:
            while True:
                await asyncio.wait([ended, doubted], return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return ended.result()
                self._doubted.clear()
                doubted = asyncio.create_task(self._doubted.wait())
                if await self._answer(process, _ANSWER_SECONDS) is not None:
                    self._settled.set()
                elif process.returncode is None:
                    log.warning("the engine does not answer; ending it")
                    process.kill()
        finally:
            ended.cancel()
            doubted.cancel()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what the engine says on stderr; in chunks, since a line may be of any length."""
        begun = b""  # a line whose end has not come
        while process.stderr is not None and (chunk := await process.stderr.read(_CHUNK)):
            *lines, begun = (begun + chunk).split(b"\n")
            if len(begun) > _CHUNK:
                lines, begun = [*lines, begun], b""
            self._hear(lines)
        self._hear([begun])

    def _hear(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.strip():
                self._last_words.append(heard(line.decode(errors="replace")))

    async def _hear_out(self) -> None:
        """What an ended process said last may still be on its way."""
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=_LAST_WORDS_SECONDS)
            self._listening.cancel()


async def _nothing() -> None:
    pass


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end; then end it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _KILL_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
