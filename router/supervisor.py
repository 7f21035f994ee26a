"""Keeps one engine process alive: starts it, knows when it is ready, restarts it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from triroute.proto import engine_pb2
from triroute.router.engine_client import EngineClient, EngineLost
from triroute.router.errors import EngineUnavailable, StartFailed
from triroute.router.settings import Settings

log = logging.getLogger("triroute.supervisor")

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_QUICK_SECONDS, _MOST_QUICK_DEATHS = 10.0, 5
_KILL_SECONDS = 5.0

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
        self._process: asyncio.subprocess.Process | None = None
        self._errors: deque[str] = deque(maxlen=20)
        self._ready = asyncio.Event()
        self._gave_up = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """The engine's process id, while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, progress: Progress) -> None:
        """Start the engine and wait until it serves. Raises StartFailed with the engine's own reason."""
        progress("starting the engine")
        await self._spawn()
        progress("loading the model")
        await self._until_serving()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self.client.watch_load())]

    async def ready(self) -> None:
        """Wait until the engine serves. Raises EngineUnavailable when it could not be brought back."""
        try:
            await asyncio.wait_for(self._ready.wait(), self.settings.start_seconds)
        except TimeoutError:
            raise EngineUnavailable("the engine did not come back in time; try again", retry_ms=5_000) from None
        if self._gave_up:
            raise EngineUnavailable("the engine keeps dying; see the service's log, and restart the service")

    async def close(self) -> None:
        """Stop the engine and forget its socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _KILL_SECONDS)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._folder.cleanup()

    async def _spawn(self) -> None:
        settings = self.settings
        command = [sys.executable, "-m", "triroute.engine.server", "--socket", str(self.socket), "--parent-pipe"]
        command += ["--cache-mb", str(settings.cache_mb)]
        command += ["--checkpoint", str(settings.checkpoint)] if settings.checkpoint else []
        command += ["--threads", str(settings.threads)] if settings.threads else []
        self.socket.unlink(missing_ok=True)
        self._errors.clear()
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._tasks.append(asyncio.create_task(self._read_errors(self._process)))

    async def _until_serving(self) -> None:
        """Wait for the first answer, or for the process to end."""
        process = self._process
        if process is None:
            raise StartFailed("the engine was not started")
        ended = asyncio.create_task(process.wait())
        answered = asyncio.create_task(self.client.describe(self.settings.start_seconds))
        await asyncio.wait([ended, answered], return_when=asyncio.FIRST_COMPLETED)
        try:
            if ended.done():
                await asyncio.sleep(0.05)  # its last words are still on their way
                reason = "\n".join(self._errors) or f"it exited with {process.returncode}"
                raise StartFailed(f"the engine could not start: {reason}")
            self.description = await answered
        except EngineLost as error:
            raise StartFailed(f"the engine did not answer in {self.settings.start_seconds:g} s: {error}") from error
        finally:
            ended.cancel()
            answered.cancel()
            await asyncio.gather(ended, answered, return_exceptions=True)
        self._ready.set()

    async def _watch(self) -> None:
        """Restart the engine whenever it ends, with growing pauses, until it dies too often too soon."""
        delay, quick_deaths = _FIRST_DELAY, 0
        while self._process is not None:
            born = time.monotonic()
            code = await self._process.wait()
            self._ready.clear()
            self.restarts += 1
            quick_deaths = quick_deaths + 1 if time.monotonic() - born < _QUICK_SECONDS else 1
            delay = _FIRST_DELAY if quick_deaths == 1 else min(2 * delay, _LONGEST_DELAY)
            log.warning("the engine ended with %s; restarting it (%s)", code, "; ".join(self._errors) or "no message")
            if quick_deaths > _MOST_QUICK_DEATHS:
                log.error("the engine died %s times in a row; giving up", quick_deaths)
                self._gave_up = True
                self._ready.set()
                return
            await asyncio.sleep(delay)
            await self._spawn()
            with contextlib.suppress(StartFailed):
                await self._until_serving()

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._errors.append(text)
            log.warning("engine: %s", text)
