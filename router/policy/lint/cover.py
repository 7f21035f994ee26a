"""Whether boxes cover a box. Exact where names do not relate, and in any case never wrongly yes.

For a variable, let each of its cells name the boxes that have it. A cell whose boxes are all among another cell's is
the harder one to cover: whoever covers it covers the other as well, so that one need not be looked at. Most variables
of a policy vanish so (a tag that one rule asks for: without it is the harder cell), and few are left to split on.
"""

from __future__ import annotations

from collections.abc import Hashable

from triroute.router.policy.lint.space import Box, Space, TooLarge

MOST_SPLITS = 500


class Cover:
    """Searches among the boxes of one policy."""

    def __init__(self, space: Space, boxes: list[Box]) -> None:
        self._space = space
        self._splits = 0
        taken: Box = {}
        for box in boxes:
            for variable, mask in box.items():
                taken[variable] = taken.get(variable, 0) | mask
        self._free = {variable: space.full(variable) & ~mask for variable, mask in taken.items()}

    def all_of(self, boxes: list[Box], others: list[Box]) -> bool:
        """Whether every request in the boxes is in one of the others. Raises TooLarge where that takes too long."""
        self._splits = 0
        return all(self._covers(self._useful(box, others), box) for box in boxes)

    def _useful(self, box: Box, others: list[Box]) -> list[Box]:
        """The others without those that miss a cell which no box at all has: it is the harder one."""
        free: dict[Hashable, bool] = {}
        for variable, mask in self._free.items():
            left = mask & box.get(variable, -1)
            free[variable] = bool(left) and self._space.possible({**box, variable: left})
        return [other for other in others if not any(free[variable] for variable in other)]

    def _covers(self, others: list[Box], box: Box) -> bool:
        self._splits += 1
        if self._splits > MOST_SPLITS:
            raise TooLarge
        if not self._space.possible(box):
            return True
        while True:
            others = [narrowed for other in others if (narrowed := self._narrowed(box, other)) is not None]
            if not others:
                return False
            if not all(others):  # one of them has no condition left
                return True
            hardest = self._hardest(box, others)
            if hardest is None:
                break
            variable, mask, exact = hardest
            others = _within(others, variable, mask)
            if exact:
                box = {**box, variable: mask}
        return self._split(box, others)

    def _narrowed(self, box: Box, other: Box) -> Box | None:
        """What the other still asks of requests in the box; None where it has none of them."""
        asks: Box = {}
        for variable, mask in other.items():
            own = box.get(variable, self._space.full(variable))
            if not own & mask:
                return None
            if own & ~mask:
                asks[variable] = mask
        return asks

    def _hardest(self, box: Box, others: list[Box]) -> tuple[Hashable, int, bool] | None:
        """A variable with a cell that is harder than all others: its cells, and whether they are all there are."""
        for variable in {variable: None for other in others for variable in other}:
            groups = self._groups(box, others, variable)
            least = min(groups, key=int.bit_count)
            if all(least & ~named == 0 for named in groups):
                return variable, groups[least], len(groups) == 1
        return None

    def _groups(self, box: Box, others: list[Box], variable: Hashable) -> dict[int, int]:
        """Cells of the variable that requests in the box can have, by the others that have them (a bit each).

        Boxes without the variable have all of its cells, and are left out.
        """
        left = box.get(variable, self._space.full(variable))
        masks = [(1 << bit, mask) for bit, mask in enumerate(other[variable] for other in others if variable in other)]
        groups: dict[int, int] = {}
        while left:
            cell = left & -left
            left ^= cell
            named = sum(bit for bit, mask in masks if mask & cell)
            groups[named] = groups.get(named, 0) | cell
        return {named: mask for named, mask in groups.items() if self._space.possible({**box, variable: mask})} or {
            0: 0
        }

    def _split(self, box: Box, others: list[Box]) -> bool:
        """Try the harder cells of the variable that most of the others ask about, one after the other."""
        asked = [variable for other in others for variable in other]
        variable = max(dict.fromkeys(asked), key=asked.count)
        groups = self._groups(box, others, variable)
        for named, mask in groups.items():
            if any(harder & ~named == 0 and harder != named for harder in groups):
                continue
            alone = not any(named & ~easier == 0 and easier != named for easier in groups)
            inner = {**box, variable: mask} if alone else box
            if not self._covers(_within(others, variable, mask), inner):
                return False
        return True


def _within(others: list[Box], variable: Hashable, mask: int) -> list[Box]:
    """The others that have these cells, without the variable."""
    kept = [other for other in others if other.get(variable, mask) & mask]
    return [{name: own for name, own in other.items() if name != variable} for other in kept]
