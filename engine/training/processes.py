"""The processes that train together: one, or as many as `torchrun` starts. Each draws other blocks, one writes.

Gradients are averaged by PyTorch's DistributedDataParallel, so that all have the same parameters after each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from triroute.engine.errors import TrainingError
from triroute.engine.training.torch_model import CPU

_PATIENCE = timedelta(days=1)  # the others wait while the first one has the model write answers


class Device(StrEnum):
    """Where to train. `AUTO` takes a GPU if there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Group:
    """This process's place among `size`, and the device that it trains on."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether it is this process that writes and speaks."""
        return self.rank == 0

    def shared(self, module: nn.Module) -> nn.Module:
        """The module, with gradients that are means over all processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def agreed(self, number: float) -> float:
        """What the first process says."""
        if self.size == 1:
            return number
        told = torch.tensor(number, dtype=torch.float64, device=self.device)
        distributed.broadcast(told, src=0)
        return told.item()


ALONE = Group()


@contextmanager
def joined(device: Device) -> Iterator[Group]:
    """The group that this process was started in. Raises TrainingError."""
    if not distributed.is_torchelastic_launched():
        yield Group(device=_device(device, 0))
        return
    chosen = _device(device, int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield Group(distributed.get_rank(), distributed.get_world_size(), chosen)
    distributed.destroy_process_group()  # not after a failure: the others still wait, and torchrun ends them


def local_processes() -> int:
    """How many processes train on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _device(asked: Device, index: int) -> torch.device:
    if asked is Device.CPU or (asked is Device.AUTO and not torch.cuda.is_available()):
        return CPU
    count = torch.cuda.device_count()
    if index >= count:
        raise TrainingError(
            f"PyTorch sees {count or 'no'} GPU{'s'[: count != 1]} here; "
            + ("start as many processes as there are" if count else "add --device cpu, or install PyTorch for CUDA")
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
