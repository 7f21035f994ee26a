"""A real Phoenix, which is somebody else's OTLP receiver, a real `triroute serve` that sends to it, and an agent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..browser.conftest import pictures as pictures  # a fixture

ROOT = Path(__file__).parents[2]
PHOENIX = ROOT / ".venv-phoenix/bin/phoenix"
PATIENCE_SECONDS = 180.0  # kernels are compiled in a fresh checkout


class Phoenix:
    """Its addresses, and its REST API."""

    def __init__(self) -> None:
        self.page, self.otlp = (f"http://127.0.0.1:{port}" for port in _free_ports(2))

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        asked = f"{self.page}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def trace(self, trace_id: str, spans: int) -> list[dict[str, Any]]:
        """The spans of a trace, once there are so many, oldest first."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.get("v1/projects/default/spans", trace_id=trace_id, limit=1000)["data"]
            if len(found) >= spans or time.monotonic() > deadline:
                return sorted(found, key=lambda span: (span["start_time"], span["end_time"]))
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@contextmanager
def started(command: list[str | Path], environment: dict[str, str], log: Path, ready: str) -> Iterator[str]:
    """A process that ends with the block. Gives the line with `ready` of what it says in `log`, once there is one."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (lines := [line for line in log.read_text().splitlines() if ready in line]):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield lines[0]
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    assert PHOENIX.exists(), "there is no Phoenix; `make test-phoenix` installs it"
    folder, one = tmp_path_factory.mktemp("phoenix"), Phoenix()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": one.page.rpartition(":")[2],
        "PHOENIX_GRPC_PORT": one.otlp.rpartition(":")[2],
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    with started([PHOENIX, "serve"], environment, folder / "log", "Uvicorn running"):
        yield one


@pytest.fixture(scope="session")
def address(phoenix: Phoenix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the service listens that sends its spans to Phoenix."""
    folder = tmp_path_factory.mktemp("service")
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": phoenix.otlp,
        "TRIROUTE_HOME": str(folder),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    options = ["--listen", "127.0.0.1:0", "--http", "none", "--cache-mb", "64"]
    command = [sys.executable, "-m", "triroute.router", "serve", *options]
    with started(command, environment, folder / "log", "address") as line:
        yield line.split("address")[1].split()[0]
