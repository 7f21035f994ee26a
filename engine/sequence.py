"""One running request: its tokens, how many of them are cached, and who decides what comes next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from triroute.engine.drawing import follow
from triroute.engine.errors import EngineError, InvalidRequest
from triroute.engine.ledger import Ledger
from triroute.engine.lookup import Echo, PromptLookup
from triroute.engine.modes.base import Commit, Company, Found, Mode, View
from triroute.engine.output import Output
from triroute.engine.sampler import Sampler
from triroute.engine.segments import Track
from triroute.engine.span import Span
from triroute.engine.types import (
    Committed,
    DraftSource,
    Event,
    Finished,
    FinishReason,
    PassKind,
    Request,
    Started,
    TokenLogprob,
)
from triroute.kernels.cpu.attention import PAGE

Sink = Callable[[Event], None]


class Sequence:
    """State of a request. The first `cached` of its `tokens` are in the cache; at least the last one never is.

    Its mode is the one that `track` says, which follows the text where there is reason to. Raises InvalidRequest when
    it resumes tokens that the grammar can't have allowed.
    """

    def __init__(self, request: Request, track: Track, sampler: Sampler, output: Output, sink: Sink) -> None:
        self.request = request
        self.sampler = sampler
        self.output = output
        self.sink = sink
        self._track = track
        self.tokens = [*request.prompt_ids]
        self.cached = 0
        self.pages: list[int] = []  # the scheduler's: where its slots lie in the cache
        self.rows = 1  # of its last pass
        self.ledger = Ledger()
        self._lookup = PromptLookup()
        self._resumed_text = ""
        self._forced = self._resume()

    @property
    def mode(self) -> Mode:
        """Who decides what comes next."""
        return self._track.mode

    @property
    def finish(self) -> FinishReason | None:
        """Why it is over, once it is."""
        return self.output.finish

    @property
    def pending(self) -> int:
        """Tokens that are not cached."""
        return len(self.tokens) - self.cached

    def view(self, company: Company) -> View:
        """What its mode may see, in such company."""
        return View(
            tuple(self.tokens[self.cached :]),
            self.output.remaining,
            self.cached,
            company,
            self.sampler.constrained,
            self._find,
        )

    def admit(self, borrowed: list[int]) -> None:
        """Begin, or begin again after a preemption, with pages that hold the first tokens already."""
        self.pages = borrowed
        self.cached = len(borrowed) * PAGE
        ledger = self.ledger
        if ledger.admitted:
            return
        ledger.admitted = now = time.perf_counter()
        ledger.borrowed = min(self.cached, len(self.request.prompt_ids))
        self.sink(Started(len(self.request.prompt_ids)))
        if self._forced:
            wanted = self.request.sampling.logprobs is not None
            logprobs = tuple(map(TokenLogprob, self._forced)) if wanted else ()
            forced = Commit(self._forced, tuple(range(len(self._forced))), logprobs=logprobs)
            self._tell(Span(PassKind.FORCED, ()), self._standing(forced), now, now, 1, 0)

    def preempt(self) -> None:
        """Lose the cache, but nothing that was committed or drafted."""
        self.cached = 0
        self.ledger.preemptions += 1

    def prefill_span(self, chunk: int) -> Span:
        """The next tokens to prefill, to the next multiple of `chunk`."""
        width = min(self.pending - 1, chunk - self.cached % chunk)
        return Span(PassKind.PREFILL, tuple(self.tokens[self.cached : self.cached + width]))

    def commit(self, span: Span, commit: Commit, started: float, ended: float, batch: int, rows: int) -> None:
        """Take over what a pass came to, and tell the client."""
        commit = self._standing(commit)
        held = commit.tokens[: min(commit.accepted, len(commit.tokens) - 1)]
        self.cached += len(span.chain) if span.exact is None else span.exact + 1 + span.holds(held)
        self.rows = span.width
        if not self.ledger.prefilled and self.cached >= len(self.request.prompt_ids):
            self.ledger.prefilled = ended
        self._tell(span, commit, started, ended, batch, rows)

    def end(self, reason: FinishReason) -> None:
        """Tell the client that no more comes."""
        output = len(self.tokens) - len(self.request.prompt_ids)
        usage = self.ledger.usage(len(self.request.prompt_ids), output)
        if self.finish is None:  # it is ended from outside
            self._track.calls(output, ended=True)
        text, speech = self._resumed_text + self.output.flush(), self._track.spoken()
        self.sink(Finished(reason, usage, self.ledger.timings(), text, speech))

    def _standing(self, commit: Commit) -> Commit:
        """A commit without the tokens that another mode is to write."""
        count = self._track.follow(commit.tokens)
        if count == len(commit.tokens):
            return commit
        self.sampler.back(len(commit.tokens) - count)
        forced = tuple(index for index in commit.forced if index < count)
        lossy = tuple(index for index in commit.lossy if index < count)
        logprobs = commit.logprobs[:count]
        return replace(commit, tokens=commit.tokens[:count], forced=forced, logprobs=logprobs, lossy=lossy)

    def _tell(self, span: Span, commit: Commit, started: float, ended: float, batch: int, rows: int) -> None:
        kept, text = self.output.push(commit.tokens)
        self.tokens.extend(kept)
        text, self._resumed_text = self._resumed_text + text, ""
        track = self._track
        record = self.ledger.record(span, commit, kept, started, ended, batch, rows, track.number)
        settled = self.output.settled(len(self.tokens) - len(self.request.prompt_ids))
        calls = track.calls(settled, ended=self.finish is not None)
        logprobs, speech = commit.logprobs[: len(kept)], track.spoken()
        self.sink(Committed(kept, text, record, logprobs, track.kind, track.plan, calls, speech))
        track.turn()

    def _resume(self) -> tuple[int, ...]:
        """Go through the tokens of an interrupted run; what the grammar forces after them, or at the beginning."""
        resumed, at = self.request.resume_ids, 0
        forced = self.sampler.take_forced()
        while at + len(forced) < len(resumed):
            at += len(forced)
            try:
                self.sampler.take(resumed[at])
            except EngineError as error:
                raise InvalidRequest("resume_ids", f"[{at}] can't follow: {error}") from error
            forced = self.sampler.take_forced() if resumed[at] not in self.sampler.end_ids else ()
            at += 1
        self._track.resume(resumed)
        kept, self._resumed_text = self.output.push(resumed)
        self.tokens.extend(kept)
        return () if self.finish else forced[len(resumed) - at :]

    def echo(self) -> Echo | None:
        """What it repeats, where drafts may come from that."""
        wanted = DraftSource.PROMPT_LOOKUP in self.request.plan.draft_sources
        return self._lookup.echo(self.tokens) if wanted else None

    def _find(self, most: int) -> Found:
        """What prompt lookup offers, as far as the grammar follows."""
        match, tokens = self._lookup.find(self.tokens, most)
        try:
            return Found(match, follow(self.sampler, tokens, DraftSource.PROMPT_LOOKUP)[:most])
        except EngineError:
            return Found()  # the grammar has failed, as whatever is drawn next says: others plan this pass, too
