"""`kill -9` of a real router under load, whose policy requires records: no answer without its record."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from triroute.bench.kinds import Unavailable
from triroute.bench.policy.result import Result
from triroute.proto import chat_pb2, router_pb2
from triroute.router.audit.entries import read_entries
from triroute.router.audit.verify import verify
from triroute.router.client import CallFailed, Client

_CLIENTS = 6
_FEWEST = 6  # answers before a kill
_LONGEST_DELAY = 0.4  # s, from then to the kill
_POLICY = """
version: 1
metadata: {name: strict}
rules: [{id: all, use: {mode: self_speculation, audit: required}}]
"""


def measure(folder: Path, kills: int, say: Callable[[str], None]) -> list[Result]:
    """One log, for all routers one after the other."""
    (folder / "strict.yaml").write_text(_POLICY)
    path, acknowledged, chance = folder / "kills.sqlite", set[str](), random.Random(1)
    for number in range(1, kills + 1):
        acknowledged |= asyncio.run(_until_killed(folder, path, chance.uniform(0, _LONGEST_DELAY)))
        say(f"kill {number} of {kills}: {len(acknowledged)} answers so far")
    there = {
        one.entry.record.request_id
        for one in read_entries(path)
        if one.entry is not None and one.entry.record.HasField("finish")
    }
    report = verify(path)
    lacking = len(acknowledged - there)
    return [
        Result(f"{kills} kills: answers without record", "", lacking, 0, "", f"{len(acknowledged)} answers"),
        Result(f"{kills} kills: problems of the log", "", len(report.problems), 0, "", f"{report.entries} entries"),
    ]


async def _until_killed(folder: Path, path: Path, delay: float) -> set[str]:
    """The steps whose end was told to a client."""
    command = [sys.executable, "-m", "triroute.router", "serve", "--listen", "127.0.0.1:0", "--admin", "none"]
    command += ["--http", "none", "--records", str(path), "--policy", str(folder / "strict.yaml")]
    command += ["--threads", "1", "--cache-mb", "64"]
    environment = {**os.environ, "TRIROUTE_HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(  # noqa: ASYNC220 - its output is read in a thread
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    acknowledged, enough = set[str](), asyncio.Event()
    try:
        address = await asyncio.to_thread(_address, process)
        clients = [asyncio.create_task(_client(address, n, acknowledged, enough)) for n in range(_CLIENTS)]
        await asyncio.wait_for(enough.wait(), 60)
        await asyncio.sleep(delay)
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*clients)
    finally:
        process.kill()
        process.communicate()
    return acknowledged


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if "address" in line:
            return line.split("address")[1].split()[0]
    raise Unavailable("the router did not start")


async def _client(address: str, number: int, acknowledged: set[str], enough: asyncio.Event) -> None:
    """One step after the other, until the router is gone."""
    request = router_pb2.GenerateRequest(
        text="The sea was calm, and", sampling=chat_pb2.Sampling(max_tokens=4 + 3 * number, seed=number)
    )
    async with Client(address) as client:
        while True:
            request_id = ""
            try:
                async for event in client.generate(request):
                    if event.HasField("decision"):
                        request_id = event.decision.request_id
                    if event.HasField("finish"):
                        acknowledged.add(request_id)
            except CallFailed:
                return
            if len(acknowledged) >= _FEWEST:
                enough.set()
