"""What an estimate rests on."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Evidence(StrEnum):
    """What an estimate rests on, the best first."""

    SAME = "the same setting"
    WIDTHS = "other block lengths or thresholds"
    VARIANTS = "the other variant"
    KINDS = "other kinds of steps"
    PRIOR = "the prior"

    @classmethod
    def weakest(cls, several: Iterable[Evidence]) -> Evidence:
        """The last in the order above; SAME of none."""
        return max(several, key=list(cls).index, default=cls.SAME)
