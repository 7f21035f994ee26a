"""Decoding modes, one file each, and the one table of them."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from triroute.engine.modes.auto import Chooser
from triroute.engine.modes.autoregressive import Autoregressive
from triroute.engine.modes.base import Mode
from triroute.engine.modes.diffusion import Diffusion
from triroute.engine.modes.linear_speculation import LinearSpeculation
from triroute.engine.modes.quadratic_speculation import MOST_BLOCK_LENGTH, QuadraticSpeculation
from triroute.engine.types import ModeName, Plan

_AUTO_DIFFUSION = 8  # part of the text that diffusion writes, so not chosen by cost

MODES: dict[ModeName, Callable[[Plan, int, Set[int], Chooser], Mode]] = {
    ModeName.AUTOREGRESSIVE: lambda plan, mask_id, end_ids, chooser: Autoregressive(),
    ModeName.DIFFUSION: lambda plan, mask_id, end_ids, chooser: Diffusion(
        replace(plan, block_length=plan.block_length or _AUTO_DIFFUSION), mask_id, end_ids
    ),
    ModeName.LINEAR_SPECULATION: lambda plan, mask_id, end_ids, chooser: LinearSpeculation(plan, mask_id, chooser),
    ModeName.QUADRATIC_SPECULATION: lambda plan, mask_id, end_ids, chooser: QuadraticSpeculation(
        plan, mask_id, chooser
    ),
}


def start_mode(plan: Plan, mask_id: int, end_ids: Set[int], chooser: Chooser) -> Mode:
    """The decoder that a plan names, fresh."""
    return MODES[plan.mode](plan, mask_id, end_ids, chooser)


def most_scratch(plan: Plan, max_block_length: int) -> int:
    """Rows of a mode's widest pass that never become cache, or not at once."""
    if plan.mode is ModeName.AUTOREGRESSIVE:
        return 1
    if plan.mode is ModeName.QUADRATIC_SPECULATION:
        block = plan.block_length or MOST_BLOCK_LENGTH
        return block * block
    return plan.block_length or max_block_length
