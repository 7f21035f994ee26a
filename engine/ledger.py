"""What a request has cost so far: its passes, counts and times."""

from __future__ import annotations

import time

from triroute.engine.modes.base import Commit, Draft
from triroute.engine.span import Span
from triroute.engine.types import PassKind, PassRecord, Timings, Usage


class Ledger:
    """Keeps the books of one request. Times are seconds of `time.perf_counter`."""

    def __init__(self) -> None:
        self.arrived = time.perf_counter()
        self.admitted = self.prefilled = self.first_token = 0.0
        self.borrowed = self.preemptions = 0
        self._records = self._passes = self._prefill_passes = self._accepted = self._rejected = self._forced = (
            self._lossy
        ) = 0

    def record(
        self,
        span: Span,
        commit: Commit,
        kept: tuple[int, ...],
        started: float,
        ended: float,
        batch: int,
        rows: int,
        segment: int,
    ) -> PassRecord:
        """Book a pass of so many rows in all, that ran `span`; `kept` tokens of its commit joined the output."""
        if span.kind is PassKind.PREFILL:
            self._prefill_passes += 1
        elif span.kind is not PassKind.FORCED:
            self._passes += 1
        if kept and not self.first_token:
            self.first_token = ended
        rejected = commit.checked[commit.accepted :]
        self._accepted += min(commit.accepted, len(kept))
        self._rejected += len(commit.checked) - min(commit.accepted, len(kept))
        forced = tuple(index for index in commit.forced if index < len(kept))
        self._forced += len(forced)
        lossy = tuple(index for index in commit.lossy if index < len(kept)) if commit.lossy else ()
        self._lossy += len(lossy)
        self._records += 1
        return PassRecord(
            index=self._records - 1,
            kind=span.kind,
            width=span.width,
            start_us=_micros(started - self.admitted),
            duration_us=_micros(ended - started),
            batch=batch,
            other_rows=max(0, rows - span.width),
            proposed=tuple(draft.token for draft in commit.proposed),
            confidences=tuple(draft.confidence for draft in commit.proposed),
            proposed_behind=_forks(commit.proposed),
            fixed_slots=commit.fixed_slots,
            accepted=commit.accepted,
            rejected=tuple(draft.token for draft in rejected),
            sources=tuple(draft.source for draft in commit.checked),
            committed=kept,
            forced=forced,
            segment=segment,
            lossy=lossy,
        )

    def usage(self, prompt: int, output: int) -> Usage:
        """Counts, for a prompt and an output of so many tokens."""
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=output,
            drafted=self._accepted + self._rejected,
            accepted=self._accepted,
            rejected=self._rejected,
            passes=self._passes,
            prefill_passes=self._prefill_passes,
            cached_prompt_tokens=self.borrowed,
            preemptions=self.preemptions,
            forced=self._forced,
            lossy=self._lossy,
        )

    def timings(self) -> Timings:
        """Times, if the request ended now."""
        now = time.perf_counter()
        admitted = self.admitted or now
        prefilled = self.prefilled or now
        return Timings(
            queue_us=_micros(admitted - self.arrived),
            prefill_us=_micros(prefilled - admitted),
            decode_us=_micros(now - prefilled),
            first_token_us=_micros((self.first_token or now) - self.arrived),
        )


def _forks(drafts: tuple[Draft, ...]) -> tuple[int, ...]:
    """Which draft each follows, -1 for none; nothing where they follow one another."""
    behind = tuple(draft.behind for draft in drafts if draft.behind is not None)
    return () if behind == tuple(range(-1, len(drafts) - 1)) else behind


def _micros(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
