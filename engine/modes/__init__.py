"""Decoding modes, one file each, and the one table of them."""

from __future__ import annotations

from collections.abc import Callable, Set

from triroute.engine.modes.autoregressive import Autoregressive
from triroute.engine.modes.base import Mode
from triroute.engine.modes.diffusion import Diffusion
from triroute.engine.modes.linear_speculation import LinearSpeculation
from triroute.engine.types import ModeName, Plan

MODES: dict[ModeName, Callable[[Plan, int, Set[int]], Mode]] = {
    ModeName.AUTOREGRESSIVE: lambda plan, mask_id, end_ids: Autoregressive(),
    ModeName.DIFFUSION: lambda plan, mask_id, end_ids: Diffusion(
        plan.block_length, plan.confidence_threshold, plan.max_steps, mask_id, end_ids
    ),
    ModeName.LINEAR_SPECULATION: lambda plan, mask_id, end_ids: LinearSpeculation(plan.block_length, mask_id),
}


def start_mode(plan: Plan, mask_id: int, end_ids: Set[int]) -> Mode:
    """The decoder that a plan names, fresh."""
    return MODES[plan.mode](plan, mask_id, end_ids)
