"""What to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triroute.engine.training.joint.trainer import JointRecipe
from triroute.engine.training.processes import Device
from triroute.engine.training.trainer import Recipe


@dataclass(frozen=True, slots=True)
class Settings:
    """What is trained, how, on what, for how long, and where the result goes.

    Of `minutes` (of training alone) and `steps`, the one that is not None ends the run. The recipe's kind says what is
    trained: a draft adapter, or all weights jointly.
    """

    checkpoint: Path | None
    out: Path
    recipe: Recipe | JointRecipe
    minutes: float | None = 40.0
    steps: int | None = None
    answers: int = 2400
    max_tokens: int = 160
    temperatures: tuple[float, ...] = (0.0, 0.7, 0.0, 1.0)
    prompts: Path | None = None
    held_out: Path | None = None
    start: Path | None = None
    public: bool = True
    device: Device = Device.AUTO
    resume: bool = True
    threads: int = 2
    cache_gb: float = 6.0
    save_seconds: float = 120.0
    measure_seconds: float = 240.0
    held_out_blocks: int = 8
