"""Autoregressive decoding: one row, one token."""

from __future__ import annotations

from triroute.engine.modes.base import Commit, Rows, Span, View
from triroute.engine.types import PassKind


class Autoregressive:
    """Draws the token after the seed."""

    def plan(self, view: View) -> Span:
        return Span(PassKind.DECODE, (view.seed,), exact_row=0)

    def absorb(self, view: View, rows: Rows) -> Commit:
        return Commit(rows.exact, written=1)
