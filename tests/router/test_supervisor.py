"""The supervisor over real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from triroute.router import supervisor as module
from triroute.router.errors import EngineUnavailable, StartFailed
from triroute.router.settings import Settings
from triroute.router.supervisor import Supervisor

from . import fake_engine


@asynccontextmanager
async def supervised(*options: str, **changes: float) -> AsyncIterator[Supervisor]:
    settings = replace(Settings(engine=fake_engine.command(*options)), **changes)
    one = Supervisor(settings)
    try:
        await one.start(lambda stage: None)
        yield one
    finally:
        await one.close()
        assert one.pid is None
        assert not one.socket.exists()


async def start(*options: str, **changes: float) -> None:
    async with supervised(*options, **changes):
        pass


def ended(pid: int) -> bool:
    """Gone, or waiting for its parent to notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


async def gone(pid: int) -> None:
    await fake_engine.until(lambda: ended(pid))


async def successor(one: Supervisor, of: int) -> None:
    await fake_engine.until(lambda: one.pid not in (None, of))
    await one.ready()


async def refused(one: Supervisor) -> EngineUnavailable | None:
    """What a step is told; None when the engine serves."""
    try:
        await one.ready()
    except EngineUnavailable as error:
        return error
    return None


def pid_of(one: Supervisor) -> int:
    assert one.pid is not None
    return one.pid


async def test_start_reports_progress_and_knows_the_model() -> None:
    stages: list[str] = []
    one = Supervisor(Settings(engine=fake_engine.command()))
    await one.start(stages.append)
    assert stages == ["starting the engine", "loading the model (the first start compiles its kernels)"]
    assert one.description.model == fake_engine.MODEL
    assert os.getpgid(pid_of(one)) == one.pid
    await one.close()


async def test_engine_that_can_not_start_says_why() -> None:
    with pytest.raises(StartFailed, match=r"could not start: m\.gguf: no such file; give --checkpoint"):
        await start("--fail-start", "m.gguf: no such file; give --checkpoint")


async def test_command_that_is_not_there() -> None:
    one = Supervisor(Settings(engine=("/nowhere/engine",)))
    with pytest.raises(StartFailed, match="'/nowhere/engine' can't be run"):
        await one.start(lambda stage: None)
    await one.close()


async def test_engine_that_never_answers() -> None:
    with pytest.raises(StartFailed, match=r"did not answer in 1\.5 s"):
        await start("--deaf", start_seconds=1.5)


async def test_killed_engine_comes_back() -> None:
    async with supervised() as one:
        before = pid_of(one)
        os.kill(before, signal.SIGKILL)
        await successor(one, before)
        assert one.restarts == 1


async def test_doubt_about_a_sound_engine_changes_nothing() -> None:
    async with supervised() as one:
        before = one.pid
        one.doubt()
        await one.ready()
        assert (one.pid, one.restarts) == (before, 0)


async def test_frozen_engine_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.3)
    async with supervised() as one:
        before = pid_of(one)
        os.kill(before, signal.SIGSTOP)
        one.doubt()
        await successor(one, before)


async def test_engine_that_keeps_dying_is_given_up_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_QUICK_DEATHS", 1)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 1.0)
    async with supervised() as one:
        first = pid_of(one)
        os.kill(first, signal.SIGKILL)
        await successor(one, first)
        os.kill(pid_of(one), signal.SIGKILL)
        await gone(pid_of(one))
        one.doubt()
        error = await refused(one)
        assert error is not None
        assert "keeps dying" in error.message
        assert error.retry_ms == 1_000
        while await refused(one) is not None:
            one.doubt()
            await asyncio.sleep(0.05)
        assert one.restarts == 2


async def test_endless_line_on_stderr_blocks_nothing() -> None:
    async with supervised("--noise", "300000") as one:
        await one.ready()


async def test_engine_deaf_to_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILL_SECONDS", 0.2)
    async with supervised("--ignore-term") as one:
        pid = pid_of(one)
    await gone(pid)


async def test_engine_dies_with_the_router() -> None:
    script = f"""
        import asyncio, os, signal
        from triroute.router.settings import Settings
        from triroute.router.supervisor import Supervisor

        async def main():
            one = Supervisor(Settings(engine={fake_engine.command()!r}))
            await one.start(lambda stage: None)
            print(one.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    router = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await router.communicate()
    assert router.returncode == -signal.SIGKILL
    await gone(int(out))
