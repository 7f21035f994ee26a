"""What self-speculation can draft from, as candidates for the next cycle."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.engine.modes.auto import Candidate, Key
from triroute.engine.modes.base import Found, View
from triroute.engine.types import DraftSource, Plan

DIFFUSION: Key = (DraftSource.DIFFUSION, 0)
_AUTO_WIDTHS = (1, 2, 3, 4, 5, 6, 7, 9, 11, 15)
_TRUSTED_MATCH = 2  # a fixed width follows a repetition of so many tokens


def lookups(plan: Plan, view: View, most: int) -> tuple[Found, list[Candidate]]:
    """What prompt lookup found, at most `most` drafts, and each width of it, the widest last."""
    if DraftSource.PROMPT_LOOKUP not in plan.draft_sources or most < 1:
        return Found(), []
    found = view.lookup(min(most, plan.block_length - 1 if plan.block_length else _AUTO_WIDTHS[-1]))
    key = (DraftSource.PROMPT_LOOKUP, found.match)
    pending = len(view.pending)
    return found, [Candidate((pending + width,), key, width) for width in widths(plan, len(found.drafts))]


def preferred(plan: Plan, view: View, candidates: Sequence[Candidate]) -> list[Candidate]:
    """All candidates and off where the width is the engine's to choose; else the one that the plan means."""
    off = Candidate((len(view.pending),))
    if not plan.block_length:
        return [off, *candidates]
    trusted = [c for c in candidates if c.key and (c.key[0] is DraftSource.DIFFUSION or c.key[1] >= _TRUSTED_MATCH)]
    return trusted[:1] or [off]


def widths(plan: Plan, most: int) -> list[int]:
    """Widths to consider: one where the plan fixes it."""
    if plan.block_length:
        return [min(most, plan.block_length - 1)] if min(most, plan.block_length - 1) > 0 else []
    return [width for width in _AUTO_WIDTHS if width <= most]
