"""`make gpu`: a step that fails stops no other, and what became of each is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from triroute.bench.gpu import Step, run, steps

GPU = [sys.executable, "-m", "triroute.bench.gpu"]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_failures_stop_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    work.mkdir()
    todo = [
        Step("good", python("print('fine')")),
        Step("bad", python("print('half'); raise SystemExit(3)"), (work / "never",)),
        Step("absent", (str(tmp_path / "nothing"),)),
        Step("left", python(f"open({str(work / 'made')!r}, 'w').write('x')"), (work / "made",)),
    ]
    assert run(todo, out, {"gpu": "none"}) == 3
    summary = json.loads((out / "summary.json").read_text())
    assert [(step["name"], step["code"], step["results"]) for step in summary["steps"]] == [
        ("good", 0, []),
        ("bad", 3, []),
        ("absent", 127, []),
        ("left", 0, ["made"]),
    ]
    assert (out / "bad.log").read_text() == "half\n"
    assert "can't be run" in (out / "absent.log").read_text()
    assert (out / "made").read_text() == "x"
    assert f"bad: failed with 3, see {out / 'bad'}.log" in capsys.readouterr().out


def test_what_an_earlier_run_left_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("old")
    assert run([Step("bad", python("raise SystemExit(1)"), (tmp_path / "made",))], tmp_path, {}) == 1
    assert json.loads((tmp_path / "summary.json").read_text())["steps"][0]["results"] == []


def test_ctrl_c_leaves_a_summary(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    slow = f"import time; open({str(ready)!r}, 'w').close(); time.sleep(60)"
    script = (
        "import sys; from pathlib import Path; from triroute.bench.gpu import Step, run\n"
        f"todo = [Step('slow', (sys.executable, '-c', {slow!r})), Step('next', ('true',))]\n"
        f"sys.exit(run(todo, Path({str(tmp_path / 'out')!r}), {{}}))"
    )
    process = subprocess.Popen(python(script), start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    steps_done = json.loads((tmp_path / "out" / "summary.json").read_text())["steps"]
    assert [(step["name"], step["code"]) for step in steps_done] == [("slow", 130)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([*GPU, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == "PyTorch sees no GPU here; --device cpu does the same without one\n"
    assert not (tmp_path / "out").exists()


def test_training_without_a_gpu(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--smoke", "--only", "train", "--out", str(tmp_path / "gpu")]
    done = subprocess.run([*GPU, *arguments], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (done.stdout, *(tmp_path / "gpu").glob("*.log"))
    brought = {path.name for path in (tmp_path / "gpu").iterdir()}
    assert brought == {"train.log", "summary.json", "adapter.safetensors", "log.csv", "loss.png"}


def test_an_unknown_step_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*GPU, "--only", "tests", "--out", str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "'tests' is not one of kernels, bench, train, eval" in done.stderr


def test_whole_runs_do_more_than_smoke_runs(tmp_path: Path) -> None:
    whole, smoke = (steps(tmp_path, tmp_path, 7.5, "cuda", smoke=smoke) for smoke in (False, True))
    assert [step.name for step in whole] == [step.name for step in smoke]
    assert whole[2].command[-4:] == ("--device", "cuda", "--minutes", "7.5")
