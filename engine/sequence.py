"""One running request: its tokens, how many of them are cached, and what it has cost so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from collections.abc import Sequence as List

from triroute.engine.grammar import Constraint
from triroute.engine.history import History
from triroute.engine.modes.base import Commit, Mode, Span, View
from triroute.engine.sampling import Drawn
from triroute.engine.text import TextStream
from triroute.engine.types import (
    Committed,
    Event,
    Finished,
    FinishReason,
    PassKind,
    PassRecord,
    Request,
    Started,
    Timings,
    TokenLogprob,
    Usage,
)
from triroute.kernels.cpu.attention import PAGE

Sink = Callable[[Event], None]


class Sequence:
    """State of a request. `cached` tokens of `tokens` are in the cache; the last token, the seed, never is."""

    def __init__(
        self,
        request: Request,
        mode: Mode,
        text: TextStream,
        constraint: Constraint | None,
        sink: Sink,
        end_ids: Set[int],
    ) -> None:
        self.request = request
        self.mode = mode
        self.text = text
        self.constraint = constraint
        self.sink = sink
        self.end_ids = end_ids
        self.tokens = [*request.prompt_ids, *request.resume_ids]
        self.history = History.of(request.sampling, request.prompt_ids)
        self.cached = 0
        self.pages: list[int] = []  # the scheduler's: where its slots lie in the cache
        self.finish: FinishReason | None = None
        self.passes = self.prefill_passes = self.drafted = self.accepted = self.borrowed = self.preemptions = 0
        self.arrived = time.perf_counter()
        self.admitted = self.prefilled = self.first_token = 0.0
        self._characters_to_skip = request.resume_characters
        self._exact: List[Drawn] = ()
        self._block: dict[int, Drawn] = {}  # diffusion: the last draw of each slot
        self._resume()

    @property
    def output_length(self) -> int:
        return len(self.tokens) - len(self.request.prompt_ids)

    @property
    def uncached(self) -> int:
        """Tokens still to prefill: all but the seed."""
        return len(self.tokens) - 1 - self.cached

    @property
    def view(self) -> View:
        return View(self.tokens[-1], self.request.sampling.max_tokens - self.output_length)

    def admit(self, borrowed: list[int]) -> None:
        """Begin, or begin again after a preemption, with pages that hold the first tokens already."""
        self.pages = borrowed
        self.cached = len(borrowed) * PAGE
        if self.admitted:
            return
        self.admitted = time.perf_counter()
        self.borrowed = min(self.cached, len(self.request.prompt_ids))
        if not self.uncached:
            self.prefilled = self.admitted
        self.sink(Started(len(self.request.prompt_ids)))

    def preempt(self) -> None:
        """Lose the cache, but nothing that was committed or drafted."""
        self.cached = 0
        self.preemptions += 1

    def prefill_span(self, chunk: int) -> Span:
        """The next tokens to prefill, to the next multiple of `chunk`."""
        width = min(self.uncached, chunk - self.cached % chunk)
        return Span(PassKind.PREFILL, tuple(self.tokens[self.cached : self.cached + width]))

    def commit(self, span: Span, commit: Commit, started: float, ended: float, batch: int) -> None:
        """Take over what a pass came to, and tell the client."""
        self.cached += commit.written
        tokens, text = self._accept(commit.tokens)
        record = self._record(span, commit, tokens, started, ended, batch)
        if span.kind is PassKind.PREFILL:
            self.prefilled = self.prefilled or (0.0 if self.uncached else ended)
        elif tokens and not self.first_token:
            self.first_token = ended
        self.sink(Committed(tokens, text, record, logprobs=self._logprobs(span, commit, len(tokens))))

    def note(self, span: Span, exact: List[Drawn], proposed: List[Drawn]) -> None:
        """Remember the draws of a pass until they are committed. Only where log-probabilities are asked for."""
        self._exact = exact
        if span.kind is PassKind.DENOISE:
            self._block.update(zip(span.propose, proposed, strict=True))

    def _logprobs(self, span: Span, commit: Commit, kept: int) -> tuple[TokenLogprob, ...]:
        if self.request.sampling.logprobs is None or not kept:
            return ()
        block = [self._block[slot] for slot in range(len(commit.tokens) - len(self._exact))]
        drawn = [*block, *self._exact][:kept]
        return tuple(TokenLogprob(one.token, one.log_probability, one.top) for one in drawn)

    def end(self, reason: FinishReason) -> None:
        """Tell the client that no more comes."""
        tail = self._pending + self._skip(self.text.flush())
        self.sink(Finished(reason, self._usage(), self._timings(time.perf_counter()), tail))

    def _resume(self) -> None:
        resumed = self.request.resume_ids
        for token in resumed:
            if self.constraint is not None:
                self.constraint.advance(token)
            if self.history is not None:
                self.history.push(token)
        self._pending = self._skip(self._judge(resumed, self.request.sampling.max_tokens)[1])

    def _accept(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Append tokens up to whatever ends the request."""
        kept, text = self._judge(tokens, self.view.remaining)
        self.tokens.extend(kept)
        if self.history is not None:
            for token in kept:
                self.history.push(token)
        text, self._pending = self._pending + self._skip(text), ""
        return kept, text

    def _judge(self, tokens: tuple[int, ...], room: int) -> tuple[tuple[int, ...], str]:
        """The tokens that belong to an output with `room` left, and their text; sets `finish` where they end it."""
        ends = [index for index, token in enumerate(tokens) if token in self.end_ids]
        tokens = tokens[: ends[0] + 1] if ends else tokens
        tokens = tokens[:room]
        emission = self.text.push(tokens)
        kept = tokens[: emission.kept]
        if emission.stopped or (kept and kept[-1] in self.end_ids):
            self.finish = FinishReason.STOP
        elif tokens and len(tokens) == room:
            self.finish = FinishReason.LENGTH
        return kept, emission.text

    def _skip(self, text: str) -> str:
        skipped = min(self._characters_to_skip, len(text))
        self._characters_to_skip -= skipped
        return text[skipped:]

    def _record(
        self, span: Span, commit: Commit, tokens: tuple[int, ...], started: float, ended: float, batch: int
    ) -> PassRecord:
        index = self.passes + self.prefill_passes
        if span.kind is PassKind.PREFILL:
            self.prefill_passes += 1
        else:
            self.passes += 1
        if span.kind is PassKind.DRAFT:
            self.drafted += len(commit.proposed)
        self.accepted += min(commit.accepted, len(tokens))
        return PassRecord(
            index=index,
            kind=span.kind,
            width=len(span.tokens),
            start_us=_micros(started - self.admitted),
            duration_us=_micros(ended - started),
            batch=batch,
            proposed=commit.proposed,
            confidences=commit.confidences,
            fixed_slots=commit.fixed_slots,
            accepted=commit.accepted,
            rejected=commit.rejected,
            committed=tokens,
        )

    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self.request.prompt_ids),
            completion_tokens=self.output_length,
            drafted=self.drafted,
            accepted=self.accepted,
            rejected=self.drafted - self.accepted,
            passes=self.passes,
            prefill_passes=self.prefill_passes,
            cached_prompt_tokens=self.borrowed,
            preemptions=self.preemptions,
        )

    def _timings(self, now: float) -> Timings:
        admitted = self.admitted or now
        prefilled = self.prefilled or now
        return Timings(
            queue_us=_micros(admitted - self.arrived),
            prefill_us=_micros(prefilled - admitted),
            decode_us=_micros(now - prefilled),
            first_token_us=_micros((self.first_token or now) - self.arrived),
        )


def _micros(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
