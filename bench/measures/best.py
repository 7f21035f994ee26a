"""The plan that measures of our best exact decoding run."""

from __future__ import annotations

from typing import Any

from triroute.engine.types import ModeName, Plan

BEST_EXACT = Plan(ModeName.LINEAR_SPECULATION, block_length=0)


def best_exact() -> dict[str, Any]:
    """As fields of a job."""
    return {"mode": BEST_EXACT.mode.value, "block_length": BEST_EXACT.block_length}
