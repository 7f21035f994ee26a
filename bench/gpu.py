"""Everything that a machine with a GPU should do, in one command: `make gpu`, or `python -m triroute.bench.gpu`.

Kernel tests, benchmarks, training of a draft adapter, its report: each runs whatever became of the one before. Results
lie in one folder that is small enough to bring back; what training needs to go on lies in another.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

_TRIROUTE = (sys.executable, "-c", "from triroute.router.cli import main; main()")
_SMOKE = Path(__file__).parent / "prompts" / "smoke.jsonl"
_INTERRUPTED = 130
_NOT_THERE = 127


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and which files it leaves are brought back."""

    name: str
    command: tuple[str, ...]
    results: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step: its exit code, how long it took, and the files that it left, by name."""

    name: str
    command: str
    code: int
    seconds: float
    results: tuple[str, ...]


def steps(out: Path, work: Path, minutes: float, device: str, *, smoke: bool) -> list[Step]:
    """What is to be done. A `smoke` run does a little of each."""
    adapter = work / "adapter.safetensors"
    few = ("--prompts", str(_SMOKE))
    small_eval = (*few, "--tokens", "8") if smoke else ()
    small_train = (*few, "--held-out", str(_SMOKE), "--max-tokens", "16", "--steps", "1", "--threads", "1")
    budget = small_train if smoke else ("--minutes", f"{minutes:g}")
    bench = ("--only", "ar", "--rounds", "1") if smoke else ()
    tests = "tests/kernels/cpu/test_rows.py" if smoke else "tests/kernels"
    return [
        Step("kernels", (sys.executable, "-m", "pytest", "-q", tests)),
        Step(
            "bench",
            (*_TRIROUTE, "bench", "--quick", *bench, "--json", f"{out}/bench.json", "--plot", f"{out}/bench.png"),
            (out / "bench.json", out / "bench.png"),
        ),
        Step(
            "train",
            (*_TRIROUTE, "train-adapter", "--out", str(work), "--device", device, *budget),
            (adapter, work / "log.csv", work / "loss.png"),
        ),
        Step(
            "eval",
            (
                *_TRIROUTE,
                *("eval-adapter", "--adapter", str(adapter), *small_eval),
                *("--json", f"{out}/acceptance.json", "--plot", f"{out}/acceptance.png"),
            ),
            (out / "acceptance.json", out / "acceptance.png"),
        ),
    ]


def run(todo: Sequence[Step], out: Path, machine: dict[str, str]) -> int:
    """Do all, write NAME.log of each and summary.json after each. The first exit code that is not 0, else 0."""
    out.mkdir(parents=True, exist_ok=True)
    done: list[Done] = []
    for step in todo:
        print(f"{step.name}: ", end="", flush=True)
        done.append(_do(step, out))
        summary = {"machine": machine, "steps": [asdict(one) for one in done]}
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        code = done[-1].code
        print(f"{'ok' if code == 0 else f'failed with {code}, see {out / step.name}.log'}, {done[-1].seconds:.0f} s")
        if code == _INTERRUPTED:
            break
    print(f"results are in {out}")
    return next((one.code for one in done if one.code), 0)


def _do(step: Step, out: Path) -> Done:
    started = time.monotonic()
    for path in step.results:
        (out / path.name).unlink(missing_ok=True)  # of an earlier run
    with (out / f"{step.name}.log").open("w", encoding="utf-8") as log:
        try:
            child = subprocess.Popen(step.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        except OSError as error:
            log.write(f"{step.command[0]} can't be run: {error.strerror}\n")
            code = _NOT_THERE
        else:
            code = _wait(child)
    for path in step.results:
        if path.exists() and path.parent != out:
            shutil.copy(path, out)
    brought = tuple(path.name for path in step.results if (out / path.name).exists())
    return Done(step.name, " ".join(step.command), code, round(time.monotonic() - started, 1), brought)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """The exit code. Ctrl-C reaches the child too, which is given the time to save what it has."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.wait()
        return _INTERRUPTED


def _machine(device: str) -> dict[str, str]:
    """What it is, or one line and an end where there is no GPU and none was renounced."""
    import torch

    from triroute.bench.machine import this_machine

    if device != "cpu" and not torch.cuda.is_available():
        print("PyTorch sees no GPU here; --device cpu does the same without one", file=sys.stderr)
        raise typer.Exit(1)
    name = torch.cuda.get_device_name() if device != "cpu" else "none"
    return {"gpu": name, "cpu": str(this_machine(threads=1)), "torch": torch.__version__}


def main(
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of training.")] = 20.0,
    device: Annotated[str, typer.Option(help="Where to train: cuda or cpu.")] = "cuda",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("build/gpu"),
    only: Annotated[list[str] | None, typer.Option(help="Do this step alone; repeatable.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A little of each step.")] = False,
) -> None:
    """Test kernels, measure, train a draft adapter and report on it."""
    if device not in ("cuda", "cpu"):
        raise typer.BadParameter(f"{device!r} is not one of cuda, cpu", param_hint="--device")
    todo = steps(out, out.with_name(f"{out.name}-work"), minutes, device, smoke=smoke)
    unknown = sorted(set(only or ()) - {step.name for step in todo})
    if unknown:
        known = ", ".join(step.name for step in todo)
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {known}", param_hint="--only")
    raise typer.Exit(run([step for step in todo if not only or step.name in only], out, _machine(device)))


if __name__ == "__main__":
    typer.run(main)
