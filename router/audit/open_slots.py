"""The slots of a diffusion block that nothing is fixed in yet: those that a denoising pass proposes tokens for."""

from __future__ import annotations

from collections.abc import Collection


class OpenSlots:
    """Follows the passes of a path; a record has what was proposed and fixed, and the slots follow from it."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def denoise(self, proposed: int, fixed: Collection[int]) -> list[int]:
        """The slots, one for each proposal, that a denoising pass wrote in; `fixed` are closed by it."""
        if len(self._open) != proposed:  # a block begins
            self._open = list(range(proposed))
        written = self._open
        self._open = [slot for slot in written if slot not in fixed]
        return written

    def close(self) -> None:
        """Another pass ends the block."""
        self._open = []
