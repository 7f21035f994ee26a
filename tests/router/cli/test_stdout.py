"""Stdout that is full, closed, or that nobody reads on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..audit.logs import write

FULL = Path("/dev/full")
COMMANDS = ["audit list --records LOG", "audit list --json --records LOG", "--version", "--help"]


def run(log: Path, command: str, redirected: str, *, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    """A command in a shell, which redirects its output."""
    if not log.exists():
        write(log, *range(0x100000, 0x100003))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    script = f'"{sys.executable}" -m triroute.router {command.replace("LOG", str(log))} {redirected}'
    return subprocess.run(
        ["sh", "-c", script],
        env=environment | ({} if buffered else {"PYTHONUNBUFFERED": "1"}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_full(tmp_path: Path, command: str, buffered: bool) -> None:
    """A buffer is written as late as the interpreter ends."""
    done = run(tmp_path / "r.sqlite", command, f"> {FULL}", buffered=buffered)
    assert (done.returncode, done.stderr) == (1, "stdout can't be written: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_full_with_stderr(tmp_path: Path) -> None:
    assert run(tmp_path / "r.sqlite", COMMANDS[0], f"> {FULL} 2>&1").returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_reads_on(tmp_path: Path, command: str) -> None:
    done = run(tmp_path / "r.sqlite", command, "| true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_closed(tmp_path: Path, command: str) -> None:
    done = run(tmp_path / "r.sqlite", command, ">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_codes_stay(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("version: 9\n")
    assert run(tmp_path / "r.sqlite", f"policy check {tmp_path / 'p.yaml'}", "> /dev/null").returncode == 3
    assert run(tmp_path / "r.sqlite", "audit list --nonsense", "> /dev/null").returncode == 2
