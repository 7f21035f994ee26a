"""Two real processes under torchrun: they learn different things, and both know both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from triroute.engine.errors import TrainingError
from triroute.engine.training.processes import Device, joined

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("together")
    script = Path(__file__).with_name("together.py")
    done = subprocess.run([*TORCHRUN, str(script), str(folder)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("recipe", ["adapter", "joint"])
def test_both_have_the_same_parameters(out: Path, recipe: str) -> None:
    one, other = (load_file(out / f"{recipe}-{rank}.safetensors") for rank in (0, 1))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("recipe", ["adapter", "joint"])
def test_each_draws_its_own_blocks_and_loss_falls(out: Path, recipe: str) -> None:
    one, other = (json.loads((out / f"losses-{rank}.json").read_text())[recipe] for rank in (0, 1))
    assert one != other
    for losses in (one, other):
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_the_first_one_writes(out: Path) -> None:
    lines = (out / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "0", "1", "2", "2"]
    assert (out / "adapter.safetensors").exists()


def test_a_device_that_is_not_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match="sees no GPUs here; add --device cpu"), joined(Device.CUDA):
        pass
