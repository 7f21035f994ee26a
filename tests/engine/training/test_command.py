"""The command: its options reach the trainer, and mistakes are messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRIROUTE = [sys.executable, "-c", "from triroute.router.cli import main; main()"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRIROUTE, "train-adapter", *arguments], capture_output=True, text=True, timeout=120)


def test_help_is_the_trainers() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "Train a draft adapter" in done.stdout
    assert "--block-length" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--targets", "qkv,upp"], 2, "'upp' is not one of"),
        (["--minutes", "1", "--steps", "1"], 2, "not both"),
        (["--temperatures", "0;1"], 2, "is not numbers"),
        (["--widths", "0,3"], 2, "0 is less than 1"),
        (["no.gguf", "--steps", "1"], 1, "is not a file"),
        (["--recipe", "joint", "--rank", "8"], 2, "--rank: means nothing for --recipe joint"),
        (["--ar-weight", "1"], 2, "--ar-weight: means nothing for --recipe adapter"),
        (["--device", "tpu"], 2, "'tpu' is not one of"),
    ],
)
def test_mistakes_are_messages(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    done = command(*arguments, "--out", str(tmp_path))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
