"""Servers in processes of their own, as callers meet them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from triroute.bench.kinds import Unavailable


@contextmanager
def router(
    folder: Path,
    name: str,
    *options: str,
    module: str = "triroute.router",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """The address of a `triroute serve` with its files in the folder; PolicyAdmin at `NAME.sock` there."""
    own = ["--listen", "127.0.0.1:0", "--admin", f"unix:{folder}/{name}.sock", "--records", f"{folder}/{name}.sqlite"]
    own += ["--threads", "1", "--cache-mb", "64"]
    screen = {"TRIROUTE_HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    with _running(["-m", module, "serve", *own, *options], {**os.environ, **screen, **environment}) as process:
        yield _told(process, "address")


@contextmanager
def echo() -> Iterator[str]:
    """The address of a server that answers every call with its request, and looks at nothing."""
    with _running(["-m", "triroute.bench.policy.echo"], {**os.environ}) as process:
        yield _told(process, "address")


@contextmanager
def _running(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _told(process: subprocess.Popen[str], word: str) -> str:
    """What a line of its output says after the word. Raises Unavailable when it ends without."""
    for line in process.stdout or ():
        if word in line:
            return line.split(word)[1].split()[0]
    raise Unavailable(f"{process.args!r} did not start")
