"""Autoregressive decoding: one token a pass, and those that the grammar forces after it."""

from __future__ import annotations

from triroute.engine.modes.base import Commit, Rows, View, decode_span
from triroute.engine.span import Span


class Autoregressive:
    """Draws the token after what is pending."""

    settled = True

    def plan(self, view: View) -> Span:
        return decode_span(view)

    def absorb(self, view: View, rows: Rows) -> Commit:
        return Commit(rows.exact, rows.forced, logprobs=rows.logprobs)
