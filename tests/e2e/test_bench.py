"""`triroute bench` on real engines, briefly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triroute.router", "bench", *arguments]
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)


def test_one_round_of_two_measures(tmp_path: Path) -> None:
    report, plot = tmp_path / "bench.json", tmp_path / "bench.png"
    done = _bench(
        "--only", "ar", "--only", "grammar", "--rounds", "1", "--quick", "--json", str(report), "--plot", str(plot)
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text(encoding="utf-8"))
    assert set(figures["measures"]) == {"ar", "grammar"}
    for measure in figures["measures"].values():
        (only,) = measure["rounds"]
        assert measure["ratio"] == measure["least"] == measure["most"] == only["ratio"] > 0
    assert figures["measures"]["ar"]["rounds"][0]["details"]["tokens"] == 64
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "against llama.cpp" in done.stdout
    assert f"{os.cpu_count()} cores" in done.stdout


def test_an_unknown_measure_is_refused() -> None:
    done = _bench("--only", "speed")
    assert done.returncode == 1
    assert "no measure 'speed'; known are ar, agent_steps" in " ".join(done.stderr.split())
